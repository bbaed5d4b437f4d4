//! The OTLP messages and fields that a batch uses; all others are skipped.

use super::{U64, read_point};
use crate::{Histogram, Series, attribute, histogram::BUCKETS};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub(super) resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceMetrics<'a> {
    #[serde(borrow, default)]
    pub(super) resource: Attributes<'a>,
    #[serde(borrow, default)]
    pub(super) scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Default, Deserialize)]
pub(super) struct Attributes<'a> {
    #[serde(borrow, default)]
    pub(super) attributes: Vec<KeyValue<'a>>,
}

#[derive(Deserialize)]
pub(super) struct KeyValue<'a> {
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) value: Value<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Value<'a> {
    #[serde(borrow, default)]
    string_value: Option<Text<'a>>,
    #[serde(default)]
    int_value: Option<U64>,
}

/// Borrows unless the string has escapes. Serde would always copy an `Option<Cow<str>>`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Value<'a> {
    pub(super) fn text(&self) -> Option<&str> {
        self.string_value.as_ref().map(|Text(text)| &**text)
    }

    fn into_text(self) -> Option<Cow<'a, str>> {
        self.string_value.map(|Text(text)| text)
    }
}

#[derive(Deserialize)]
pub(super) struct ScopeMetrics<'a> {
    #[serde(borrow, default)]
    pub(super) scope: Scope<'a>,
    #[serde(borrow, default)]
    pub(super) metrics: Vec<Metric<'a>>,
}

#[derive(Default, Deserialize)]
pub(super) struct Scope<'a> {
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Metric<'a> {
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(default)]
    pub(super) histogram: Option<HistogramData>,
    #[serde(default)]
    pub(super) sum: Option<SumData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SumData {
    #[serde(default)]
    pub(super) aggregation_temporality: u8,
    #[serde(default)]
    pub(super) data_points: Vec<NumberPoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NumberPoint {
    #[serde(default)]
    pub(super) as_int: U64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistogramData {
    #[serde(default)]
    pub(super) aggregation_temporality: u8,
    #[serde(default)]
    pub(super) data_points: Points,
}

/// Data points, decoded into what they count.
#[derive(Default)]
pub(super) struct Points {
    pub(super) counted: Vec<(Series, Histogram)>,
    /// Latest end of a point, in nanoseconds since the Unix epoch.
    pub(super) end_unix_nanos: u64,
    /// Why the first uncountable point cannot be counted.
    pub(super) unusable: Option<String>,
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Points;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("data points")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Points, A::Error> {
                let mut points = Points::default();
                while let Some(point) = list.next_element::<DataPoint<'de>>()? {
                    let end = point.time_unix_nano.0;
                    points.end_unix_nanos = points.end_unix_nanos.max(end);
                    match read_point(point) {
                        Ok(counted) => points.counted.push(counted),
                        Err(reason) => points.unusable = points.unusable.or(Some(reason)),
                    }
                }
                Ok(points)
            }
        }
        deserializer.deserialize_seq(Read)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataPoint<'a> {
    #[serde(borrow, default)]
    pub(super) attributes: PointAttributes<'a>,
    #[serde(default)]
    time_unix_nano: U64,
    #[serde(default)]
    pub(super) count: U64,
    #[serde(default)]
    pub(super) sum: f64,
    #[serde(default)]
    pub(super) bucket_counts: [U64; BUCKETS],
    /// Raw, because the text is nearly always the same: see `check_bounds`.
    #[serde(borrow)]
    pub(super) explicit_bounds: Option<&'a RawValue>,
}

/// Attributes of a data point. Of duplicates, the first wins.
#[derive(Default)]
pub(super) struct PointAttributes<'a> {
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) route: Option<Cow<'a, str>>,
    pub(super) status: Option<u64>,
    pub(super) error: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for PointAttributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = PointAttributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("attributes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut found = PointAttributes::default();
                while let Some(KeyValue { key, value }) = list.next_element()? {
                    let text = match &*key {
                        attribute::REQUEST_METHOD => &mut found.method,
                        attribute::ROUTE => &mut found.route,
                        attribute::ERROR_TYPE => &mut found.error,
                        attribute::RESPONSE_STATUS_CODE => {
                            let status = value.int_value.map(|U64(status)| status);
                            found.status = found.status.or(status);
                            continue;
                        }
                        _ => continue,
                    };
                    if text.is_none() {
                        *text = value.into_text();
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_seq(Read)
    }
}
