//! A component of WASI 0.2. Its handler returns when the body is written, and blocks its instance until then.

#[cfg(target_arch = "wasm32")]
mod component;
