//! The service on a store in memory, without Wasm: every operation and every way it refuses. And the component as it was built.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod api;
mod artefact;
mod memory_store;
mod openapi;
