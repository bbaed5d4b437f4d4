//! HTTP middleware: passes requests on, and responses back.

#[cfg(target_arch = "wasm32")]
mod component;
