//! Delta sums as an OpenTelemetry SDK exports them: without a key.

use super::{
    TARGET,
    protobuf::{self, Message},
    unix_nanos,
};
use crate::load::Source;
use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use serde_json::{Value, json};

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u8 = 1;
const SCOPE: &str = "bench";
const SERVICE: (&str, &str) = ("service.name", "bench");

/// One body, sent again and again: every time adds 1 to each of its series.
#[derive(Clone, Debug)]
pub struct Foreign {
    content_type: &'static str,
    body: Bytes,
}

impl Foreign {
    /// `series` series of the sum `metric`, as JSON.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn json(metric: &str, series: usize) -> Result<Self> {
        let time = unix_nanos().to_string();
        let points: Vec<_> = (0..series)
            .map(|index| {
                let attributes = attributes(index).map(|(key, value)| json_attribute(key, &value));
                json!({ "attributes": attributes, "timeUnixNano": time, "asInt": "1" })
            })
            .collect();
        let body = json!({
            "resourceMetrics": [{
                "resource": { "attributes": [json_attribute(SERVICE.0, SERVICE.1)] },
                "scopeMetrics": [{
                    "scope": { "name": SCOPE },
                    "metrics": [{
                        "name": metric,
                        "sum": { "aggregationTemporality": DELTA, "isMonotonic": true, "dataPoints": points },
                    }],
                }],
            }],
        });
        Ok(Self {
            content_type: "application/json",
            body: serde_json::to_vec(&body)?.into(),
        })
    }

    /// `series` series of the sum `metric`, as protobuf.
    pub fn protobuf(metric: &str, series: usize) -> Self {
        let time = unix_nanos();
        let mut sum = Message::default();
        for index in 0..series {
            let mut point = Message::default();
            point.fixed(protobuf::POINT_TIME, time);
            point.fixed(protobuf::POINT_AS_INT, 1);
            for (key, value) in attributes(index) {
                point.message(protobuf::POINT_ATTRIBUTES, &protobuf_attribute(key, &value));
            }
            sum.message(protobuf::SUM_POINTS, &point);
        }
        sum.varint(protobuf::SUM_TEMPORALITY, DELTA.into());
        sum.varint(protobuf::SUM_IS_MONOTONIC, 1);
        let mut named = Message::default();
        named.text(protobuf::METRIC_NAME, metric);
        named.message(protobuf::METRIC_SUM, &sum);
        let mut scope = Message::default();
        scope.text(protobuf::SCOPE_NAME, SCOPE);
        let mut scoped = Message::default();
        scoped.message(protobuf::SCOPE_METRICS_SCOPE, &scope);
        scoped.message(protobuf::SCOPE_METRICS_METRICS, &named);
        let mut resource = Message::default();
        let service = protobuf_attribute(SERVICE.0, SERVICE.1);
        resource.message(protobuf::RESOURCE_ATTRIBUTES, &service);
        let mut resourceful = Message::default();
        resourceful.message(protobuf::RESOURCE_METRICS_RESOURCE, &resource);
        resourceful.message(protobuf::RESOURCE_METRICS_SCOPES, &scoped);
        let mut request = Message::default();
        request.message(protobuf::REQUEST_RESOURCES, &resourceful);
        Self {
            content_type: "application/x-protobuf",
            body: request.into_bytes().into(),
        }
    }
}

impl Source for Foreign {
    fn next(&mut self) -> Result<Request<Full<Bytes>>> {
        Ok(Request::post(TARGET)
            .header(header::CONTENT_TYPE, self.content_type)
            .body(Full::new(self.body.clone()))?)
    }
}

/// The labels of a series.
fn attributes(index: usize) -> [(&'static str, String); 2] {
    [
        ("http.request.method", "GET".to_owned()),
        ("http.route", format!("/bench/{index}/{{id}}")),
    ]
}

fn json_attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn protobuf_attribute(key: &str, value: &str) -> Message {
    let mut any = Message::default();
    any.text(protobuf::ANY_STRING, value);
    let mut attribute = Message::default();
    attribute.text(protobuf::KEY_VALUE_KEY, key);
    attribute.message(protobuf::KEY_VALUE_VALUE, &any);
    attribute
}
