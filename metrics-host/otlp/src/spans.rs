//! `/v1/traces`: server spans → requests.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use std::time::Duration;
use telemetry::{Delta, Observation, Series, attribute};

/// Names of the attributes before they were stable.
const OLD_METHOD: &str = "http.method";
const OLD_STATUS: &str = "http.status_code";

/// The spans of a message.
#[derive(Debug, Default, PartialEq)]
pub struct Spans {
    /// Requests in server spans.
    pub requests: Delta,
    /// End time of each request, in nanoseconds since the Unix epoch.
    pub ends_unix_nanos: Vec<u64>,
    /// Number of spans of other kinds, such as client or internal.
    pub skipped: u64,
    /// Number of server spans without a method or status.
    pub rejected: u64,
}

/// Reads the requests in the server spans of `message`.
pub fn requests(message: &ExportTraceServiceRequest) -> Spans {
    let mut read = Spans::default();
    let spans = message
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans);
    for span in spans {
        if span.kind() != SpanKind::Server {
            read.skipped += 1;
        } else if let Some(observation) = observation(span) {
            read.requests.record(observation);
            read.ends_unix_nanos.push(span.end_time_unix_nano);
        } else {
            read.rejected += 1;
        }
    }
    read
}

fn observation(span: &Span) -> Option<Observation> {
    let text = |key| match find(&span.attributes, key)? {
        Value::StringValue(text) => Some(&**text),
        _ => None,
    };
    let status = |key| match find(&span.attributes, key)? {
        Value::IntValue(status) => u16::try_from(*status).ok(),
        Value::StringValue(status) => status.parse().ok(),
        _ => None,
    };
    let method = text(attribute::REQUEST_METHOD).or_else(|| text(OLD_METHOD))?;
    let status = status(attribute::RESPONSE_STATUS_CODE).or_else(|| status(OLD_STATUS))?;
    let route = text(attribute::ROUTE).unwrap_or(attribute::UNMATCHED);
    let nanos = span
        .end_time_unix_nano
        .saturating_sub(span.start_time_unix_nano);
    (100..1000).contains(&status).then(|| Observation {
        // `error.type` may be a whole backtrace, so it is no label.
        series: Series::new(method, route, status, None),
        duration: Duration::from_nanos(nanos),
    })
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.as_ref()?.value.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, decode};
    use serde_json::json;

    #[test]
    fn server_spans_are_requests_and_other_spans_are_not() {
        let text =
            |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let status = |key: &str| json!({ "key": key, "value": { "intValue": "201" } });
        let span = |kind, attributes| {
            json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "kind": kind,
                    "startTimeUnixNano": "1000000", "endTimeUnixNano": 3_000_000, "attributes": attributes })
        };
        let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [
            span(json!(2), json!([text("http.request.method", "POST"), text("http.route", "/..."),
                                  status("http.response.status_code"), text("error.type", "a backtrace")])),
            span(json!("SPAN_KIND_SERVER"), json!([text("http.method", "POST"), text("http.route", "/..."), status("http.status_code")])),
            span(json!(2), json!([text("http.request.method", "POST")])),
            span(json!(3), json!([text("http.request.method", "POST"), status("http.response.status_code")])),
            span(json!("SPAN_KIND_INTERNAL"), json!([])),
        ] }] }] });
        let decoded = decode(Encoding::Json, &serde_json::to_vec(&body).unwrap()).unwrap();
        let read = requests(&decoded.message);
        assert_eq!((read.skipped, read.rejected), (2, 1));
        assert_eq!(read.ends_unix_nanos, [3_000_000; 2]);
        let series: Vec<_> = read.requests.iter().collect();
        let [(series, histogram)] = series[..] else {
            panic!("{series:?}")
        };
        assert_eq!(*series, Series::new("POST", "/...", 201, None));
        assert_eq!((histogram.count(), histogram.sum_nanos), (2, 4_000_000));
    }
}
