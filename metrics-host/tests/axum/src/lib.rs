//! An axum router under Spin, whose requests are counted: the shortest example with axum.

#[cfg(target_arch = "wasm32")]
mod component;
