//! `wasi:otel` for guests: metrics become messages of OTLP, spans and log records are counted and dropped.

mod message;

use crate::{
    bindings::wasi::otel::{
        logs::{Host as LogsHost, LogRecord},
        metrics::{Host as MetricsHost, ResourceMetrics},
        tracing::{Host as TracingHost, SpanContext, SpanData, TraceFlags},
    },
    instance::HostState,
};
use wasmtime::Result;

impl MetricsHost for HostState {
    async fn export(&mut self, metrics: ResourceMetrics) -> Result<Result<(), String>> {
        let component = &self.component;
        let exported = component
            .observer
            .metrics_exported(&component.id, message::of(metrics));
        Ok(exported.await)
    }
}

impl TracingHost for HostState {
    async fn on_start(&mut self, _context: SpanContext) -> Result<()> {
        Ok(())
    }

    async fn on_end(&mut self, _span: SpanData) -> Result<()> {
        self.component.observer.span_dropped();
        Ok(())
    }

    /// The host has no span. All zeros say so.
    async fn outer_span_context(&mut self) -> Result<SpanContext> {
        Ok(SpanContext {
            trace_id: "0".repeat(32),
            span_id: "0".repeat(16),
            trace_flags: TraceFlags::empty(),
            is_remote: false,
            trace_state: Vec::new(),
        })
    }
}

impl LogsHost for HostState {
    async fn on_emit(&mut self, _record: LogRecord) -> Result<()> {
        self.component.observer.log_record_dropped();
        Ok(())
    }
}

impl crate::bindings::wasi::otel::types::Host for HostState {}
