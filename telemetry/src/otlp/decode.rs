//! Decodes a batch straight into its counts, without an intermediate document.

mod message;

use super::{DELTA_TEMPORALITY, Declared, NANOS_PER_SECOND, U64};
use crate::{Delta, Histogram, Resource, Series, attribute, histogram::BOUNDS_SECONDS, method};
use message::{DataPoint, KeyValue, Request};
use serde_json::value::RawValue;
use std::{borrow::Cow, str::Utf8Error, sync::LazyLock};

/// A decoded batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The sender.
    pub resource: Resource,
    /// The counted requests.
    pub delta: Delta,
    /// Latest end of a data point, in nanoseconds since the Unix epoch; 0 without data points.
    pub end_unix_nanos: u64,
}

/// Not a batch.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not UTF-8, hence not JSON.
    #[error("not UTF-8")]
    NotUtf8(#[from] Utf8Error),
    /// Not JSON, or not OTLP/JSON.
    #[error("malformed OTLP/JSON")]
    Malformed(#[from] serde_json::Error),
    /// Valid OTLP that no [`crate::emitter::Emitter`] sends.
    #[error("not a batch of scope {scope:?}: {reason}", scope = attribute::SCOPE)]
    Foreign {
        /// The difference.
        reason: String,
    },
}

/// Decodes a body of [`encode`](super::encode()). 64-bit numbers may be strings or numbers; unknown fields are skipped.
///
/// # Errors
/// If any part cannot be counted exactly: a batch is accepted whole or not at all.
pub fn decode(body: &[u8]) -> Result<Batch, DecodeError> {
    let foreign = |reason: String| DecodeError::Foreign { reason };
    // From `&str`, serde_json need not validate UTF-8 in each string.
    let request: Request = serde_json::from_str(str::from_utf8(body)?)?;
    let [resource_metrics] = <[_; 1]>::try_from(request.resource_metrics)
        .map_err(|all| foreign(format!("{} resources instead of one", all.len())))?;
    let attributes = &resource_metrics.resource.attributes;
    let resource = Resource {
        service_name: find_text(attributes, attribute::SERVICE_NAME)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| attribute::UNKNOWN_SERVICE.to_owned()),
        service_version: find_text(attributes, attribute::SERVICE_VERSION).unwrap_or_default(),
        component: find_text(attributes, attribute::COMPONENT).unwrap_or_default(),
        instance: find_text(attributes, attribute::SERVICE_INSTANCE_ID)
            .ok_or_else(|| foreign(format!("no {}", attribute::SERVICE_INSTANCE_ID)))?,
    };
    let mut batch = Batch {
        resource,
        delta: Delta::default(),
        end_unix_nanos: 0,
    };
    for scope in resource_metrics.scope_metrics {
        if scope.scope.name != attribute::SCOPE {
            return Err(foreign(format!("scope {:?}", scope.scope.name)));
        }
        for metric in scope.metrics {
            match (&*metric.name, metric.histogram, metric.sum) {
                (attribute::REQUEST_DURATION, Some(histogram), None) => {
                    require_delta(histogram.aggregation_temporality).map_err(foreign)?;
                    let points = histogram.data_points;
                    if let Some(reason) = points.unusable {
                        return Err(foreign(reason));
                    }
                    batch.end_unix_nanos = batch.end_unix_nanos.max(points.end_unix_nanos);
                    batch.delta.merge(points.counted.into_iter().collect());
                }
                (attribute::LOST_REQUESTS, None, Some(sum)) => {
                    require_delta(sum.aggregation_temporality).map_err(foreign)?;
                    for U64(lost) in sum.data_points.iter().map(|point| point.as_int) {
                        batch.delta.lost = batch.delta.lost.saturating_add(lost);
                    }
                }
                (name, ..) => return Err(foreign(format!("metric {name:?}"))),
            }
        }
    }
    if let Some(declared) = find_text(attributes, attribute::DECLARED) {
        for Declared(method, route, status) in serde_json::from_str::<Vec<_>>(&declared)? {
            let status = valid_status(status.into()).map_err(foreign)?;
            batch
                .delta
                .declare(Series::new(&method, &route, status, None));
        }
    }
    Ok(batch)
}

fn require_delta(temporality: u8) -> Result<(), String> {
    match temporality {
        DELTA_TEMPORALITY => Ok(()),
        _ => Err("temporality is not delta".into()),
    }
}

fn valid_status(status: u64) -> Result<u16, String> {
    match u16::try_from(status) {
        Ok(status @ 100..1000) => Ok(status),
        _ => Err(format!("status {status}")),
    }
}

fn read_point(point: DataPoint<'_>) -> Result<(Series, Histogram), String> {
    let without = |key| move || format!("a point without {key}");
    let about = point.attributes;
    let method = about
        .method
        .ok_or_else(without(attribute::REQUEST_METHOD))?;
    let route = about.route.ok_or_else(without(attribute::ROUTE))?;
    let status = about
        .status
        .ok_or_else(without(attribute::RESPONSE_STATUS_CODE))?;
    let series = Series {
        method: method::normalize(&method),
        route: route.into_owned(),
        status: valid_status(status)?,
        error: about.error.map(Cow::into_owned),
    };
    check_bounds(point.explicit_bounds)?;
    let buckets = point.bucket_counts.map(|U64(count)| count);
    let counted = buckets
        .into_iter()
        .try_fold(0u64, |sum, count| sum.checked_add(count));
    if counted != Some(point.count.0) {
        return Err(format!(
            "count {} is not the sum of its buckets",
            point.count.0
        ));
    }
    if !(0.0..u64::MAX as f64 / NANOS_PER_SECOND).contains(&point.sum) {
        return Err(format!("sum {} s", point.sum));
    }
    let histogram = Histogram {
        buckets,
        sum_nanos: (point.sum * NANOS_PER_SECOND).round() as u64,
    };
    Ok((series, histogram))
}

/// Checks that a point has [`BOUNDS_SECONDS`]. Parsing fourteen fractions costs as much as the rest of the point, so
/// the text is compared first with what [`encode`](super::encode()) writes.
fn check_bounds(written: Option<&RawValue>) -> Result<(), String> {
    static EXPECTED: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string(&BOUNDS_SECONDS).expect("numbers always serialize"));
    let written = written.map_or("[]", RawValue::get);
    let equal = written == *EXPECTED
        || serde_json::from_str::<Vec<f64>>(written).is_ok_and(|bounds| bounds == BOUNDS_SECONDS);
    if equal {
        Ok(())
    } else {
        Err(format!("bounds {written} instead of {}", *EXPECTED))
    }
}

fn find_text(attributes: &[KeyValue<'_>], key: &str) -> Option<String> {
    attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .text()
        .map(str::to_owned)
}
