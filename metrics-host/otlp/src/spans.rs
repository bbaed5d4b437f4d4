//! `/v1/traces`: server spans of Spin's HTTP trigger → requests.
//!
//! Other software sends server spans too. They are no requests that a component should have reported, so they are only
//! counted.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use request_counts::Component;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use telemetry::{Delta, Observation, Series, attribute};

/// Name of the instrumentation scope of every span that Spin itself creates. `service.name` does not tell: it is "spin"
/// unless OTEL_SERVICE_NAME says otherwise, and never the application.
const SPIN: &str = "spin";
/// Names of the attributes before they were stable.
const OLD_METHOD: &str = "http.method";
const OLD_STATUS: &str = "http.status_code";

/// Name of the span around a component, before the component's id. It is a child of the server span.
const COMPONENT_SPAN: &str = "execute_wasm_component ";
/// Class of an exception that Spin names. Spin sends a whole backtrace, which cannot be a label.
const EXCEPTION: &str = "spin";
/// Maximum number of routes whose component is remembered.
const MAX_ROUTES: usize = 1_000;

/// The spans of a message.
#[derive(Debug, Default, PartialEq)]
pub struct Spans {
    /// Requests in Spin's server spans, by the `service.name` of their resource and by component.
    pub requests: BTreeMap<Component, SpanRequests>,
    /// Number of spans of other kinds, such as client or internal.
    pub skipped: u64,
    /// Number of server spans of other software than Spin.
    pub foreign: u64,
    /// Number of Spin's server spans without a method or status.
    pub rejected: u64,
}

/// Requests of one component in Spin's server spans.
#[derive(Debug, Default, PartialEq)]
pub struct SpanRequests {
    /// The requests.
    pub requests: Delta,
    /// End time of each request, in nanoseconds since the Unix epoch.
    pub ends_unix_nanos: Vec<u64>,
}

/// The component behind each route, as spans told. The span of a component and the server span around it may be in two
/// messages.
#[derive(Debug, Default)]
pub struct SpanRoutes(BTreeMap<[String; 2], String>);

impl SpanRoutes {
    /// Returns the component of a request to `route`: the one that its spans name, or else the last one of the route.
    fn component(&mut self, service: &str, route: &str, named: Option<&str>) -> String {
        let key = [service.to_owned(), route.to_owned()];
        match named {
            Some(named) => {
                if self.0.len() < MAX_ROUTES || self.0.contains_key(&key) {
                    self.0.insert(key, named.to_owned());
                }
                named.to_owned()
            }
            None => self.0.get(&key).cloned().unwrap_or_default(),
        }
    }
}

/// Reads the requests in Spin's server spans of `message`.
pub fn requests(message: &ExportTraceServiceRequest, routes: &mut SpanRoutes) -> Spans {
    let mut read = Spans::default();
    for resource_spans in &message.resource_spans {
        let resource = resource_spans.resource.as_ref();
        let service =
            resource.and_then(|resource| text(&resource.attributes, attribute::SERVICE_NAME));
        let service = service.unwrap_or(attribute::UNKNOWN_SERVICE);
        let scopes = resource_spans.scope_spans.iter();
        let spans = scopes.flat_map(|of| {
            let by_spin = of.scope.as_ref().is_some_and(|scope| scope.name == SPIN);
            of.spans.iter().map(move |span| (by_spin, span))
        });
        let components = spans.clone().filter_map(|(by_spin, span)| {
            let component = span.name.strip_prefix(COMPONENT_SPAN).filter(|_| by_spin)?;
            Some((&*span.parent_span_id, component))
        });
        let components: HashMap<_, _> = components.collect();
        for (by_spin, span) in spans {
            if span.kind() != SpanKind::Server {
                read.skipped += 1;
            } else if !by_spin {
                read.foreign += 1;
            } else if let Some(observation) = observation(span) {
                let named = components.get(&*span.span_id).copied();
                let component = routes.component(service, &observation.series.route, named);
                let component = Component::new(service, &component);
                let of_component = read.requests.entry(component).or_default();
                of_component.requests.record(observation);
                of_component.ends_unix_nanos.push(span.end_time_unix_nano);
            } else {
                read.rejected += 1;
            }
        }
    }
    read
}

fn observation(span: &Span) -> Option<Observation> {
    let text = |key| text(&span.attributes, key);
    let status = |key| match find(&span.attributes, key)? {
        Value::IntValue(status) => u16::try_from(*status).ok(),
        Value::StringValue(status) => status.parse().ok(),
        _ => None,
    };
    let method = text(attribute::REQUEST_METHOD).or_else(|| text(OLD_METHOD))?;
    let status = status(attribute::RESPONSE_STATUS_CODE).or_else(|| status(OLD_STATUS))?;
    let route = text(attribute::ROUTE).unwrap_or(attribute::UNMATCHED);
    let exception = text(attribute::ERROR_TYPE).map(|_| EXCEPTION);
    let nanos = span
        .end_time_unix_nano
        .saturating_sub(span.start_time_unix_nano);
    (100..1000).contains(&status).then(|| Observation {
        series: Series::new(method, route, status, exception),
        duration: Duration::from_nanos(nanos),
    })
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match find(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
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
    fn server_spans_of_spin_are_requests_and_other_spans_are_not() {
        let text =
            |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let status = |key: &str| json!({ "key": key, "value": { "intValue": "201" } });
        let span = |kind, attributes| {
            json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "kind": kind,
                    "startTimeUnixNano": "1000000", "endTimeUnixNano": 3_000_000, "attributes": attributes })
        };
        let whole = || {
            span(
                json!(2),
                json!([
                    text("http.request.method", "GET"),
                    status("http.response.status_code")
                ]),
            )
        };
        let body = json!({ "resourceSpans": [{ "resource": { "attributes": [text("service.name", "spin")] }, "scopeSpans": [
          { "scope": { "name": "spin" }, "spans": [
            span(json!(2), json!([text("http.request.method", "POST"), text("http.route", "/..."),
                                  status("http.response.status_code"), text("error.type", "a backtrace")])),
            span(json!("SPAN_KIND_SERVER"), json!([text("http.method", "POST"), text("http.route", "/..."), status("http.status_code")])),
            span(json!(2), json!([text("http.request.method", "POST")])),
            span(json!(3), json!([text("http.request.method", "POST"), status("http.response.status_code")])),
            span(json!("SPAN_KIND_INTERNAL"), json!([])),
          ] },
          // A web framework, an RPC server without HTTP attributes, and a sender without a scope.
          { "scope": { "name": "opentelemetry.instrumentation.flask" }, "spans": [whole(), span(json!(3), json!([]))] },
          { "scope": { "name": "grpc" }, "spans": [span(json!(2), json!([text("rpc.system", "grpc")]))] },
          { "spans": [whole()] },
        ] }] });
        let decoded = decode(Encoding::Json, &serde_json::to_vec(&body).unwrap()).unwrap();
        let read = requests(&decoded.message, &mut SpanRoutes::default());
        assert_eq!((read.skipped, read.foreign, read.rejected), (3, 3, 1));
        let [(component, found)] = &read.requests.iter().collect::<Vec<_>>()[..] else {
            panic!("{:?}", read.requests)
        };
        assert_eq!(**component, Component::new("spin", ""));
        assert_eq!(found.ends_unix_nanos, [3_000_000; 2]);
        let series: Vec<_> = found.requests.iter().collect();
        let [(plain, _), (exception, histogram)] = series[..] else {
            panic!("{series:?}")
        };
        assert_eq!(*plain, Series::new("POST", "/...", 201, None));
        assert_eq!(
            *exception,
            Series::new("POST", "/...", 201, Some(EXCEPTION))
        );
        assert_eq!((histogram.count(), histogram.sum_nanos), (1, 2_000_000));
    }

    #[test]
    fn the_component_is_the_one_whose_span_is_inside_or_the_last_one_of_the_route() {
        let span = |name: &str, kind, id: &str, parent: &str| {
            json!({ "traceId": "5b8efff798038103d269b633813fc60c", "name": name, "kind": kind, "spanId": id,
                    "parentSpanId": parent, "attributes": [
                { "key": "http.request.method", "value": { "stringValue": "GET" } },
                { "key": "http.route", "value": { "stringValue": name } },
                { "key": "http.response.status_code", "value": { "stringValue": "200" } },
            ] })
        };
        let mut routes = SpanRoutes::default();
        let mut components = |spans: serde_json::Value| {
            let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "scope": { "name": "spin" }, "spans": spans }] }] });
            let decoded = decode(Encoding::Json, &serde_json::to_vec(&body).unwrap()).unwrap();
            let read = requests(&decoded.message, &mut routes).requests;
            let components = read.into_keys().map(|of| of.component);
            components.collect::<Vec<_>>()
        };
        let (one, two) = ("eee19b7ec3c1b174", "eee19b7ec3c1b175");
        let carts = span("execute_wasm_component carts", 1, "eee19b7ec3c1b176", one);
        assert_eq!(components(json!([span("/a", 2, two, "")])), [""]);
        assert_eq!(
            components(json!([carts, span("/a", 2, one, "")])),
            ["carts"]
        );
        let others = json!([span("/a", 2, two, ""), span("/b", 2, two, "")]);
        assert_eq!(components(others), ["", "carts"]);
    }
}
