//! The one place that counts a request that is answered here.
//!
//! [`Edge`] is the listener of an application. It stands in front of an [`Upstream`] that answers the requests, takes
//! the inline contract (`telemetry-*` headers, [`telemetry::inline`]) off what comes back, and counts each request
//! exactly once in [`EdgeCounts`]:
//!
//! ```text
//! client → Edge ─ Upstream::target → limits → Upstream::respond ─→ Response | Failure
//!            └──────────────── EdgeCounts::record ←──────────────────────┘
//! ```
//!
//! A request is counted once its response is complete (or too long to wait for) and before the head of the response
//! goes out, so: responses that clients read ≤ requests counted ≤ requests sent, also through `kill -9`. A client that
//! leaves earlier is counted once, as 499. An error that hyper answers by itself is counted right after it.
//!
//! An upstream knows nothing of counters: it says what became of a request and never counts one.

mod catalogue;
mod failure;
mod metrics;
mod request;
mod response;
mod service;
mod upstream;

pub use edge_counts::EdgeCounts;
pub use failure::Failure;
pub use metrics::EdgeMetrics;
pub use request::{RequestBody, RequestBodyError};
pub use service::{Edge, EdgeBody, EdgeLimits};
pub use upstream::{Outcome, Upstream};
