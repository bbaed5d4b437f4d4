//! The items service: the example application of metrics-host, as a WASI HTTP component.
//!
//! `metrics-host serve` and Spin load it; tests and fuzz targets link it natively. It is a small CRUD service with
//! production manners: input limits, keyset pages, health checks, an OpenAPI document, fault injection and request
//! telemetry.
//!
//! ```text
//! request → component → service → route → handler → store → sql → SQLite or PostgreSQL
//!              └→ request_telemetry: counts it, or names it for the host
//! ```
//!
//! # Modules
//!
//! - [`service`] handles a request: it looks up the [`route`], parses the input ([`request`], [`item`]), calls a handler
//!   and builds the [`response`]. It is generic over the request and the [`store`], does no I/O of its own, and compiles
//!   natively, where it is tested with a store in memory.
//! - [`sql`] is the store for any database; `component` and `database` are the WASI side (`wasm32` only): the entry point,
//!   and the databases of the host.
//! - Telemetry is three calls of [`request_telemetry`]: `http_service!` exports the handler, `route` and `exception` name what
//!   it did.
//! - [`settings`] validates the component's own variables.
//! - [`fault`] injects an error, a delay, a panic or a stack overflow, if `fault_injection` is on and a request asks
//!   with `x-fault`.
//!
//! # Promises
//!
//! - **API**: `openapi.json` documents every response, injected faults aside; an error is `{"error": "…"}`; ids are never
//!   reused.
//! - **Limits**: a body has at most 64 KiB, a page at most 1 000 items, a name at most 200 characters.
//! - **Storage**: each operation is one SQL statement, and its effect is durable before the response. A statement is never
//!   repeated, so a 500 says nothing of its effect.
//! - **Telemetry**: that of [`request_telemetry`], by the variables `telemetry` and `telemetry_host`.
//! - **Imports**: `imports.txt` lists every interface that the component needs from its host, and a test compares it
//!   with the built artefact. There are no files and no sockets.

#![forbid(unsafe_code)]

pub mod error;
pub mod fault;
mod handler;
pub mod item;
pub mod request;
pub mod response;
pub mod route;
pub mod service;
pub mod settings;
pub mod sql;
pub mod store;

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
mod database;
