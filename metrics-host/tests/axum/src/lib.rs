//! An axum router under Spin, whose requests are counted. It writes orders, and lists them as a stream.

#[cfg(target_arch = "wasm32")]
mod component;
