//! The traffic of `make compare`, answered and counted by a component without metrics-host.

#[cfg(target_arch = "wasm32")]
mod component;
