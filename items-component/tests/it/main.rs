//! The service, natively and with a store in memory: every operation and every error. Also checks the built component.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod api;
mod artefact;
mod memory_store;
mod openapi;
