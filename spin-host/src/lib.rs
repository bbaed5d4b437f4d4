//! Hosts the components of a Spin application on Wasmtime.
//!
//! ```text
//! request → Application::respond → Queue → an instance's task → Response | Failure
//! ```
//!
//! `metrics-host serve` runs it behind the crate `edge`. It promises:
//!
//! - Requests queue for the component of their trigger until one of its instances takes them. An instance handles at
//!   most [`HostLimits::instance_concurrency`] requests at one time.
//! - A request goes to another instance if its first one fails before the request begins.
//! - A body of up to 64 KiB is complete before the response is returned, unless the guest takes more than 50 ms
//!   from its first pause. A trap in the middle of it is a [`Failure`], never a truncated response.
//! - Any other body streams. If the guest does not complete it, it ends with an error.
//! - A component that exports `metrics-host:buffered-http/handler` gets short requests as values. That is faster, and the
//!   same in all else.
//! - Components can use only what their manifest allows; the crate `spin-manifest` reads it.
//!
//! This crate counts nothing. [`Application::respond`] returns the outcome of each request, and an [`Observer`] is told
//! of every instance that starts, traps or ends, and of the telemetry that components export.

mod application;
mod bindings;
mod body;
mod buffered;
mod chaining;
mod clients;
mod compile;
mod database;
mod delivery;
mod denied;
mod engine;
mod exports;
mod files;
mod instance;
mod instance_task;
mod interfaces;
mod key_value;
mod limits;
mod message;
mod mqtt;
mod observer;
mod otel;
mod outbound;
mod outcome;
mod own_requests;
mod places;
mod pool;
mod postgres;
mod queue;
mod redis;
mod response;
mod route_headers;
mod sockets;
mod sqlite;
mod stdio;
mod usage;
mod variables;

pub use application::{Application, Stopper, Trigger};
pub use body::{ResponseBody, Streamed};
pub use interfaces::{INTERFACES, Interface, Support, UNVERSIONED, Unserved, check_imports};
pub use limits::{ClientLimits, HostLimits};
pub use message::RequestBody;
pub use observer::{BoxFuture, Observer, ResourceMetrics};
pub use response::{Failure, Responded};
pub use usage::Usage;
pub use wasmtime_wasi_http::Error as HttpError;
