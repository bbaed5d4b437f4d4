//! The telemetry contract between a component and the host or sidecar that counts its requests.
//!
//! A component knows the route template of a request and whether a handler failed. Only its host sees traps,
//! time-outs and clients that leave. This crate defines how the two share what they know, so that every request is
//! counted once. It has no I/O, no clock and no global state: callers pass in bytes and times.
//!
//! # Users
//!
//! | crate | uses |
//! |---|---|
//! | `request-telemetry`, the library for components | [`inline`] headers; [`sender::Sender`] to batch requests for a sidecar |
//! | `metrics-host serve` | [`inline`] headers, [`RouteCatalogue`], [`Histogram`] |
//! | `metrics-host sidecar` | [`otlp::decode`] and [`BatchKey`] to accept a batch and recognise a retry |
//!
//! # Model
//!
//! An [`Observation`] is one answered request: a [`Series`] (method, route, status, class of exception) and a duration.
//! A [`Delta`] adds observations up in one [`Histogram`] per series. Counts and sums are integers, and merging is
//! commutative and associative, so totals do not depend on how requests are split or ordered. Methods are a closed set
//! ([`method`]). A [`RouteCatalogue`] lists a component's operations, so that each series exists at 0 before the first
//! request.
//!
//! # Two ways to report
//!
//! - **Inline**: the component adds headers to its response ([`inline`]). The host reads and strips them, and counts
//!   the request at its edge.
//! - **Batches**: the component counts its requests and sends them beside its responses, as OTLP/JSON over HTTP. Each
//!   batch is idempotent: a [`BatchKey`] names the component instance and a sequence number without gaps, and a
//!   [`FrozenBatch`](emitter::FrozenBatch) repeats the same bytes until the receiver acknowledges it.
//!
//! # Wire format
//!
//! [`otlp`] encodes a batch as an `ExportMetricsServiceRequest` in JSON: the histogram `http.server.request.duration`
//! with delta temporality, in the scope [`attribute::SCOPE`]. Any OTLP receiver can read it. [`otlp::decode`] accepts a
//! batch whole or not at all, and preserves every count and, up to 104 days per series, every nanosecond.
//!
//! ```
//! use std::time::Duration;
//! use telemetry::{Observation, Resource, Route, RouteCatalogue, Series, emitter::Emitter, otlp};
//!
//! let resource = Resource {
//!     service_name: "shop".into(),
//!     service_version: "1.0.0".into(),
//!     component: "carts".into(),
//!     instance: "4f2a".into(),
//! };
//! let route = Route { method: "GET".into(), route: "/carts/{id}".into(), status: 200 };
//! let mut emitter = Emitter::new(resource, &RouteCatalogue { routes: vec![route] }, 1_000);
//! emitter.record(Observation {
//!     series: Series::new("GET", "/carts/{id}", 200, None),
//!     duration: Duration::from_millis(3),
//! });
//!
//! let batch = emitter.freeze(2_000).expect("a request is pending");
//! assert_eq!(batch.key.to_string(), "4f2a-1");
//! assert_eq!(otlp::decode(&batch.body)?.delta.requests(), 1);
//! emitter.settle(); // once the receiver acknowledged it
//! # Ok::<(), otlp::DecodeError>(())
//! ```

#![forbid(unsafe_code)]

pub mod attribute;
mod catalogue;
pub mod delta;
pub mod emitter;
pub mod histogram;
pub mod inline;
mod key;
pub mod method;
pub mod otlp;
mod resource;
pub mod sender;

pub use catalogue::{Route, RouteCatalogue};
pub use delta::{Delta, Observation, Series};
pub use histogram::Histogram;
pub use key::{BatchKey, ParseBatchKeyError};
pub use resource::Resource;
