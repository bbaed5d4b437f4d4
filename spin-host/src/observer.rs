//! Reports about instances, and what they export.

pub use futures::future::BoxFuture;
pub use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

/// Receiver of events about instances. Calls happen while requests are handled, so they must not block.
pub trait Observer: Send + Sync + 'static {
    /// An instance of `component` was created.
    fn instance_started(&self, component: &str);

    /// An instance of `component` trapped. The requests in it are answered after this call.
    fn instance_trapped(&self, component: &str);

    /// An instance of `component` ended, for any reason.
    fn instance_ended(&self, component: &str);

    /// `component` called a function of an interface that the host denies.
    fn call_denied(&self, component: &str);

    /// `component` exported metrics by `wasi:otel`. Completes when they are counted. The guest gets the text of an error.
    fn metrics_exported(
        &self,
        component: &str,
        metrics: ResourceMetrics,
    ) -> BoxFuture<'static, Result<(), String>>;

    /// A component exported a span, which was dropped.
    fn span_dropped(&self);

    /// A component exported a log record, which was dropped.
    fn log_record_dropped(&self);
}
