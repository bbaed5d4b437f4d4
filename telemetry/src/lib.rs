//! What an instrumented component and metrics-host agree on: pure logic, no I/O, no clock.
//!
//! A component measures each request it answers as an [`Observation`] and hands it over in one of two
//! ways: *inline*, as headers on the response ([`inline`]), for a host that counts at its own edge; or as
//! numbered batches of deltas ([`delta`], [`emitter`]) in OTLP/JSON ([`otlp`]), sent beside the response.
//! The batches of one instance carry [`BatchKey`]s without gaps, so that a receiver can tell a retry from
//! news.

pub mod attribute;
pub mod delta;
pub mod emitter;
pub mod histogram;
pub mod inline;
mod key;
pub mod method;
pub mod otlp;
mod resource;
pub mod vocabulary;

pub use delta::{Delta, Observation, Series};
pub use histogram::Histogram;
pub use key::{BatchKey, ParseBatchKeyError};
pub use resource::Resource;
pub use vocabulary::{Route, Vocabulary};
