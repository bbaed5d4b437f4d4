//! Hosts Spin HTTP components and turns their telemetry into Prometheus metrics: every request counted once.
//!
//! ```text
//! client → server → guest::Edge → trigger → instance      serve: the edge counts what the client reads
//!                        └→ EdgeCounts ─────────────┐
//! component ─ OTLP → server → Ingest → Journal ─────┴→ exposition → Prometheus
//! ```
//!
//! [`app::App`] binds and wires all of it; every other module knows only those to its right.

pub mod app;
pub mod build_info;
pub mod config;
pub mod counter_file;
mod durable_file;
pub mod edge_counts;
pub mod exposition;
pub mod guest;
pub mod health;
pub mod health_check;
mod html;
pub mod ingest;
pub mod journal;
pub mod logging;
pub mod metric;
pub mod notifications;
pub mod operations;
pub mod otlp;
pub mod post;
mod reply;
pub mod request_counts;
pub mod runbooks;
pub mod self_stats;
pub mod server;
pub mod state_dir;
pub mod status;
pub mod web_url;
