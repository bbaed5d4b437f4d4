//! OTLP posts to the ingest: numbered batches like those of a component's instances, and sums like those of an
//! OpenTelemetry SDK.

use ::otlp::Encoding;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use telemetry::{BatchKey, Delta, Observation, Resource, Series, attribute, otlp};
use testkit::http;

const TARGET: &str = "POST /v1/metrics";
/// Batches of an instance before it is replaced: Spin replaces an instance after as many requests.
const BATCHES_PER_INSTANCE: u64 = 128;
/// The instance in a template, as long as a real one.
const PLACEHOLDER: &str = "an-instance-of-32-characters----";
/// Routes and statuses of a large batch; together they are its points.
const ROUTES: usize = 125;
const STATUSES: [u16; 8] = [200, 201, 204, 400, 404, 405, 500, 503];
/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u8 = 1;
const DURATION: Duration = Duration::from_micros(1500);

/// A batch in OTLP/JSON with a placeholder for its instance.
pub type Template = Arc<str>;

/// Returns a batch that counts one request.
pub fn single() -> Template {
    template([("/items".to_owned(), 200)])
}

/// Returns a batch of 1 000 data points.
pub fn thousand() -> Template {
    let routes = (0..ROUTES).map(|route| format!("/bench/{route}/{{id}}"));
    template(routes.flat_map(|route| STATUSES.map(|status| (route.clone(), status))))
}

fn template(series: impl IntoIterator<Item = (String, u16)>) -> Template {
    let mut delta = Delta::default();
    for (route, status) in series {
        delta.record(Observation {
            series: Series::new("GET", &route, status, None),
            duration: DURATION,
        });
    }
    let resource = Resource {
        service_name: "bench".into(),
        service_version: env!("CARGO_PKG_VERSION").into(),
        component: "bench".into(),
        instance: PLACEHOLDER.into(),
    };
    let body = otlp::encode(&resource, &delta, unix_nanos(), unix_nanos());
    String::from_utf8(body).expect("JSON is UTF-8").into()
}

/// Returns the numbered batches of a sender, one instance after the other. Senders need different numbers.
pub fn batches(template: Template, sender: u64) -> impl FnMut(usize) -> http::Request {
    let mut body = Bytes::new();
    move |index| {
        let index = index as u64;
        let (instance, sequence) = (
            index / BATCHES_PER_INSTANCE,
            index % BATCHES_PER_INSTANCE + 1,
        );
        let instance = format!("{sender:016x}{instance:016x}");
        if sequence == 1 {
            body = template.replace(PLACEHOLDER, &instance).into();
        }
        let key = BatchKey { instance, sequence };
        let request = http::request(TARGET)
            .header("content-type", "application/json")
            .header(attribute::IDEMPOTENCY_KEY, key.to_string());
        http::with_body(request, body.clone())
    }
}

/// Returns a post that adds 1 to each of `series` series of the sum `metric`, with three attributes each and without a
/// key.
pub fn sums(encoding: Encoding, metric: &str, series: usize) -> http::Request {
    let attribute =
        |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let time = unix_nanos().to_string();
    let point = |index| {
        let attributes = [
            attribute("http.request.method", "GET"),
            attribute("http.route", &format!("/bench/{index}/{{id}}")),
            attribute("server.address", "shop.example.com"),
        ];
        json!({ "attributes": attributes, "timeUnixNano": time, "asInt": "1" })
    };
    let points: Vec<_> = (0..series).map(point).collect();
    let sum = json!({ "aggregationTemporality": DELTA, "isMonotonic": true, "dataPoints": points });
    let export = json!({ "resourceMetrics": [{
        "resource": { "attributes": [attribute("service.name", "bench")] },
        "scopeMetrics": [{ "scope": { "name": "bench" }, "metrics": [{ "name": metric, "sum": sum }] }],
    }] });
    let body = match encoding {
        Encoding::Json => export.to_string().into_bytes(),
        Encoding::Protobuf => {
            let export: ExportMetricsServiceRequest =
                serde_json::from_value(export).expect("OTLP/JSON");
            export.encode_to_vec()
        }
    };
    let post = http::request(TARGET).header("content-type", encoding.content_type());
    http::with_body(post, body)
}

fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_key_is_sent_twice_and_each_belongs_to_its_bodys_instance() {
        let mut keys = HashSet::new();
        for sender in 0..2 {
            let mut batches = batches(single(), sender);
            for index in 0..2 * BATCHES_PER_INSTANCE {
                let request = batches(index as usize);
                let key = request.headers()[attribute::IDEMPOTENCY_KEY]
                    .to_str()
                    .unwrap();
                let key: BatchKey = key.parse().unwrap();
                let batch = otlp::decode(request.body()).unwrap();
                assert_eq!(key.sequence, index % BATCHES_PER_INSTANCE + 1);
                assert_eq!(batch.resource.instance, key.instance);
                assert!(keys.insert(key));
            }
        }
    }

    #[test]
    fn a_large_batch_has_a_thousand_points_that_count_one_request_each() {
        let request = batches(thousand(), 0)(0);
        let delta = otlp::decode(request.body()).unwrap().delta;
        assert_eq!((delta.iter().count(), delta.requests()), (1000, 1000));
        let sums =
            ExportMetricsServiceRequest::decode(sums(Encoding::Protobuf, "a", 10).into_body())
                .unwrap();
        let [metric] = &*sums.resource_metrics[0].scope_metrics[0].metrics else {
            panic!("{sums:?}")
        };
        assert!(
            format!("{metric:?}").matches("AsInt(1)").count() == 10,
            "{metric:?}"
        );
    }
}
