//! Reading a batch, straight into what it counted: a data point is never held as text.

mod message;

use super::{DELTA_TEMPORALITY, Declared, NANOS_PER_SECOND, U64};
use crate::{Delta, Histogram, Resource, Series, attribute, histogram::BOUNDS_SECONDS, method};
use message::{DataPoint, KeyValue, Request};
use serde_json::value::RawValue;
use std::{borrow::Cow, str::Utf8Error, sync::LazyLock};

/// A batch as a component sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who sent it.
    pub resource: Resource,
    /// What it counted.
    pub delta: Delta,
    /// When the counting ended, in nanoseconds since the Unix epoch; 0 if nothing was counted.
    pub end_unix_nanos: u64,
}

/// Why a body is no batch of ours.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, which is UTF-8.
    #[error("not UTF-8")]
    NotUtf8(#[from] Utf8Error),
    /// Not JSON, or not the JSON of OTLP.
    #[error("malformed OTLP/JSON")]
    Malformed(#[from] serde_json::Error),
    /// Well-formed OTLP, but not what an [`crate::emitter::Emitter`] sends.
    #[error("not a batch of scope {scope:?}: {reason}", scope = attribute::SCOPE)]
    Foreign {
        /// What differs.
        reason: String,
    },
}

/// Reads what [`encode`](super::encode()) wrote; 64-bit numbers may be strings or numbers, unknown fields are skipped.
///
/// # Errors
/// If anything in it cannot be counted exactly: a batch is taken as a whole or not at all.
pub fn decode(body: &[u8]) -> Result<Batch, DecodeError> {
    let foreign = |reason: String| DecodeError::Foreign { reason };
    // Checked at once: a text's strings are not checked again, one by one.
    let request: Request = serde_json::from_str(str::from_utf8(body)?)?;
    let [resource_metrics] = <[_; 1]>::try_from(request.resource_metrics)
        .map_err(|all| foreign(format!("{} resources instead of one", all.len())))?;
    let attributes = &resource_metrics.resource.attributes;
    let resource = Resource {
        service_name: find_text(attributes, attribute::SERVICE_NAME).unwrap_or_default(),
        service_version: find_text(attributes, attribute::SERVICE_VERSION).unwrap_or_default(),
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

/// Checks that a point's bounds are ours. Reading fourteen fractions costs as much as the rest of the point, so
/// they are compared as [`encode`](super::encode()) writes them first.
fn check_bounds(written: Option<&RawValue>) -> Result<(), String> {
    static OURS: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string(&BOUNDS_SECONDS).expect("numbers always serialize"));
    let written = written.map_or("[]", RawValue::get);
    let equal = written == *OURS
        || serde_json::from_str::<Vec<f64>>(written).is_ok_and(|bounds| bounds == BOUNDS_SECONDS);
    if equal {
        Ok(())
    } else {
        Err(format!("bounds {written} instead of {}", *OURS))
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
