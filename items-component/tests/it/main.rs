//! The service on a store in memory: every operation and every way it refuses, without Wasm.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod api;
mod memory_store;
mod openapi;
