//! Telemetry of components that this process runs. It counts as if it had been sent.

use crate::Ingest;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::ResourceMetrics,
};
use otlp::Encoding;
use prost::Message;
use request_counts::Component;
use telemetry::attribute;

const SERVICE_NAMESPACE: &str = "service.namespace";

impl Ingest {
    /// Counts metrics that `component` exported. It is the service of their resource: its instances have no names, since
    /// they come and go with the load.
    ///
    /// # Errors
    /// Fails if nothing of it could be counted. The refusal is counted and logged.
    pub async fn export(
        &self,
        component: &Component,
        mut metrics: ResourceMetrics,
    ) -> Result<(), String> {
        let resource = metrics.resource.get_or_insert_default();
        let identity = [
            SERVICE_NAMESPACE,
            attribute::SERVICE_NAME,
            attribute::SERVICE_INSTANCE_ID,
        ];
        resource
            .attributes
            .retain(|attribute| !identity.contains(&&*attribute.key));
        for (key, value) in [
            (SERVICE_NAMESPACE, &component.application),
            (attribute::SERVICE_NAME, &component.component),
        ] {
            resource.attributes.push(KeyValue {
                key: key.to_owned(),
                value: Some(AnyValue {
                    value: Some(Value::StringValue(value.clone())),
                }),
                ..KeyValue::default()
            });
        }
        let message = ExportMetricsServiceRequest {
            resource_metrics: vec![metrics],
        };
        let message = message.encode_to_vec().into();
        match self.count_metrics(Encoding::Protobuf, message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Counts a span that a component exported, and that is dropped.
    pub fn skip_span(&self) {
        self.0.metrics.count_spans([0, 1, 0, 0, 0]);
    }

    /// Counts a log record that a component exported, and that is dropped.
    pub fn drop_log_record(&self) {
        self.0.metrics.log_records.inc();
    }
}
