//! The listener of a hosted application. It counts every request exactly once.
//!
//! [`Edge`] forwards requests to an [`Upstream`], strips the headers of the inline contract (`telemetry-*`,
//! [`telemetry::inline`]) from the response, and records the request in [`EdgeCounts`]:
//!
//! ```text
//! client → Edge ─ Upstream::target → limits → Upstream::respond ─→ Response | Failure
//!            └──────────────── EdgeCounts::record ←──────────────────────┘
//! ```
//!
//! The count happens once the response is complete, or streams, and before its head is sent. So responses read by
//! clients ≤ requests counted ≤ requests sent, even across `kill -9`. A request whose client leaves earlier counts as
//! 499. A malformed request, which hyper rejects by itself, counts right after the rejection. A stream that is cut short
//! counts as a component failure, too.
//!
//! `metrics-host serve` implements [`Upstream`] with the crate `spin-host`. An upstream reports the outcome of each
//! request and knows nothing of counters.

mod admission;
mod catalogue;
mod examples;
mod failure;
mod host;
mod metrics;
mod request;
mod response;
mod service;
mod streaming;
#[cfg(test)]
mod tests;
mod upstream;

pub use edge_counts::{ComponentId, EdgeCounts};
pub use failure::Failure;
pub use metrics::EdgeMetrics;
pub use request::{RequestBody, RequestBodyError};
pub use service::{Edge, EdgeBody, EdgeLimits};
pub use streaming::Streaming;
pub use upstream::{Outcome, Upstream};
