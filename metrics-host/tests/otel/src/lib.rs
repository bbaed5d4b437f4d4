//! A component that exports telemetry by `wasi:otel`.

#[cfg(target_arch = "wasm32")]
mod component;
