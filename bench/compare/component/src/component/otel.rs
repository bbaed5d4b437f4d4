//! The OpenTelemetry SDK: a counter whose totals are exported by OTLP, with this instance in the resource.

use super::{Counter, INSTANCE};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
        data::ResourceMetrics, reader::MetricReader,
    },
};
use prost::Message;
use spin_sdk::http::FullBody;
use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

/// The SDK, and the URL of the receiver.
pub(super) struct Exported {
    url: String,
    reader: Shared,
    requests: opentelemetry::metrics::Counter<u64>,
    _provider: SdkMeterProvider,
}

/// The SDK takes its reader for itself.
#[derive(Clone, Debug)]
struct Shared(Arc<ManualReader>);

impl Exported {
    pub(super) fn of(application: &str, receiver: &str) -> &'static Self {
        static EXPORTED: OnceLock<Exported> = OnceLock::new();
        EXPORTED.get_or_init(|| {
            let reader = Shared(Arc::new(ManualReader::default()));
            let resource = Resource::builder_empty()
                .with_service_name(application.to_owned())
                .with_attribute(KeyValue::new("service.instance.id", INSTANCE.clone()))
                .build();
            let provider = SdkMeterProvider::builder()
                .with_resource(resource)
                .with_reader(reader.clone())
                .build();
            Self {
                url: format!("http://{receiver}/opentelemetry/v1/metrics"),
                reader,
                requests: provider.meter("items").u64_counter("app.requests").build(),
                _provider: provider,
            }
        })
    }
}

impl Counter for Exported {
    fn add(&self, status: StatusCode) {
        let status = i64::from(status.as_u16());
        self.requests
            .add(1, &[KeyValue::new("http.response.status_code", status)]);
    }

    fn report(&self) -> Option<Request<FullBody<Bytes>>> {
        let mut metrics = ResourceMetrics::default();
        self.reader.collect(&mut metrics).ok()?;
        let body = ExportMetricsServiceRequest::from(&metrics).encode_to_vec();
        Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(FullBody::new(Bytes::from(body)))
            .ok()
    }
}

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
