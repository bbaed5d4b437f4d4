//! HTTP/1.1 listeners as metrics-host runs them: the application, the OTLP ingest and the endpoint for operators share
//! one accept loop with its limits, timeouts and drain.
//!
//! [`listener::run`] takes a bound socket, a [`listener::Service`] and a shutdown flag, and returns once every
//! response is sent or the grace is over. [`post`] reads request bodies in bounded memory and checks that a request
//! that changes something was not sent by a web page. [`reply`] makes the responses that the host itself gives.
//!
//! This crate counts connections and nothing else: a service counts its own requests.

pub mod listener;
pub mod post;
pub mod reply;
