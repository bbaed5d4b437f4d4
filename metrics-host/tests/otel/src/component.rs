//! Exports metrics, a span and a log record by `wasi:otel`.

mod bindings {
    #![allow(missing_docs, reason = "generated")]

    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        world: "tests:otel/imports",
        path: ["../../../spin-host/wit/deps/wasi-otel", "wit"],
        generate_all,
    });
}

use bindings::wasi::otel::{
    logs::{self, LogRecord},
    metrics::{
        self, Gauge, GaugeDataPoint, Histogram, HistogramDataPoint, Metric, MetricData,
        MetricNumber, ResourceMetrics, ScopeMetrics, Sum, SumDataPoint, Temporality,
    },
    tracing::{self, SpanData, SpanKind, Status},
    types::{Datetime, InstrumentationScope, KeyValue, Resource},
};
use bytes::Bytes;
use spin_sdk::{
    http::{Error, FullBody, Request, Response},
    http_service,
};

/// Exports a counter with the total in the query, a gauge and a histogram; and a span and a log record.
#[http_service]
async fn handle(request: Request) -> Result<Response<FullBody<Bytes>>, Error> {
    let total = request.uri().query().unwrap_or_default();
    let total = total.parse().unwrap_or(1);
    let at = |seconds| Datetime {
        seconds,
        nanoseconds: 0,
    };
    let (start_time, time) = (at(1_700_000_000), at(1_700_000_000 + total));
    let attributes = || {
        [
            ("kind", "\"a\""),
            ("count", "3"),
            ("on", "true"),
            ("plain", "text"),
        ]
        .map(|(key, value)| KeyValue {
            key: key.into(),
            value: value.into(),
        })
        .to_vec()
    };
    let scope = || InstrumentationScope {
        name: "shop".into(),
        version: None,
        schema_url: None,
        attributes: vec![],
    };
    let metric = |name: &str, unit: &str, data| Metric {
        name: name.into(),
        description: String::new(),
        unit: unit.into(),
        data,
    };
    let sum = Sum {
        data_points: vec![SumDataPoint {
            attributes: attributes(),
            value: MetricNumber::U64(total),
            exemplars: vec![],
        }],
        start_time,
        time,
        temporality: Temporality::Cumulative,
        is_monotonic: true,
    };
    let gauge = Gauge {
        data_points: vec![GaugeDataPoint {
            attributes: vec![],
            value: MetricNumber::F64(0.5),
            exemplars: vec![],
        }],
        start_time: None,
        time,
    };
    let histogram = Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: vec![],
            count: 3,
            bounds: vec![1.0, 2.0],
            bucket_counts: vec![1, 1, 1],
            min: None,
            max: None,
            sum: MetricNumber::F64(7.5),
            exemplars: vec![],
        }],
        start_time,
        time,
        temporality: Temporality::Cumulative,
    };
    let exported = metrics::export(&ResourceMetrics {
        resource: Resource {
            attributes: vec![
                KeyValue {
                    key: "service.name".into(),
                    value: "\"unknown_service\"".into(),
                },
                KeyValue {
                    key: "telemetry.sdk.language".into(),
                    value: "\"rust\"".into(),
                },
            ],
            schema_url: None,
        },
        scope_metrics: vec![ScopeMetrics {
            scope: scope(),
            metrics: vec![
                metric("orders.placed", "{order}", MetricData::U64Sum(sum)),
                metric("cart.fill", "1", MetricData::F64Gauge(gauge)),
                metric("order.size", "", MetricData::F64Histogram(histogram)),
            ],
        }],
    });
    let context = tracing::outer_span_context();
    tracing::on_start(&context);
    tracing::on_end(&SpanData {
        span_context: context,
        parent_span_id: String::new(),
        span_kind: SpanKind::Internal,
        name: "span".into(),
        start_time,
        end_time: time,
        attributes: vec![],
        events: vec![],
        links: vec![],
        status: Status::Unset,
        instrumentation_scope: scope(),
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    });
    logs::on_emit(&LogRecord {
        timestamp: Some(time),
        observed_timestamp: None,
        severity_text: None,
        severity_number: None,
        body: Some("\"a line\"".into()),
        attributes: None,
        event_name: None,
        resource: None,
        instrumentation_scope: None,
        trace_id: None,
        span_id: None,
        trace_flags: None,
    });
    let said = format!("{exported:?}");
    Ok(Response::new(FullBody::new(Bytes::from(said))))
}
