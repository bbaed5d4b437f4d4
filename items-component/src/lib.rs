//! The items service as a WASI HTTP component.
//!
//! ```text
//! request → service → route → handler → store
//!              └→ response, and an observation of it: inline on the response, or emitted beside it
//! ```
//!
//! Everything but the last column and the entry point is pure and also compiles natively, where it is tested.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod error;
pub mod fault;
mod handler;
pub mod item;
pub mod request;
pub mod response;
pub mod route;
pub mod service;
pub mod settings;
pub mod store;

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
mod emit;
#[cfg(target_arch = "wasm32")]
mod in_flight;
#[cfg(target_arch = "wasm32")]
mod outbox;
#[cfg(target_arch = "wasm32")]
mod sqlite;
