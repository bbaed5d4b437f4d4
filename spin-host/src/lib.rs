//! Hosts the components of a Spin application on Wasmtime.
//!
//! ```text
//! request → Application::respond → Queue → an instance's task → Response | Failure
//! ```
//!
//! A request is queued for the component of its trigger. An instance takes it, at most
//! [`HostLimits::instance_concurrency`] of them at one time, and answers. Small bodies are complete before the response
//! is returned, so a trap in the middle of one is a failure and not a cut response. A request that an instance did not
//! begin before it failed goes to another instance.
//!
//! This crate knows nothing of metrics. [`Application::respond`] returns what became of a request, and an [`Observer`]
//! hears of every instance that starts and ends. Components use what their manifest allows and no more; the crate
//! `spin-manifest` reads it.

mod application;
mod bindings;
mod database;
mod engine;
mod instance;
mod instance_task;
mod limits;
mod message;
mod observer;
mod outbound;
mod outcome;
mod pool;
mod queue;
mod sqlite;
mod stdio;
mod variables;

pub use application::{Application, Failure, Responded, Stopper, Trigger};
pub use limits::HostLimits;
pub use message::{RequestBody, ResponseBody};
pub use observer::Observer;
pub use wasmtime_wasi_http::Error as HttpError;
