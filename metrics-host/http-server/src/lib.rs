//! The HTTP server of every metrics-host listener, for HTTP/1.1 and for HTTP/2 with prior knowledge. The application's edge, the OTLP ingest and the operators'
//! endpoint share one accept loop with its limits, timeouts and drain.
//!
//! [`listener::run`] takes a bound socket, a [`listener::Service`] and a shutdown flag. It returns once every response
//! is sent or the grace period is over. [`post`] reads request bodies in bounded memory and rejects requests that a
//! web page sent across sites. [`reply`] builds the host's own responses.
//!
//! This crate counts connections only; each service counts its requests.

mod framing;
mod interim;
pub mod listener;
mod peer;
pub mod post;
mod protocol;
pub mod reply;
pub mod tls;

pub use framing::Ambiguous;
pub use interim::InterimResponses;
