//! A component of spin-sdk 6, which builds against the last release candidate of WASI 0.3.

#[cfg(target_arch = "wasm32")]
mod component;
