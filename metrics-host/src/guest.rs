//! Hosting: a request comes in at the [`Edge`], finds the trigger for its path, and is answered by an instance of
//! the trigger's component, which may use what its manifest allows.

mod allowed_hosts;
mod application;
mod bindings;
mod database;
mod describe;
mod edge;
mod engine;
mod fate;
mod helped_task;
mod instance;
mod limits;
mod manifest;
mod message;
mod outbound;
mod pool;
mod route;
mod sqlite;
mod stdio;
mod template;
mod variables;
mod worker;

pub use application::{Application, Stopper};
pub use edge::Edge;
pub use limits::GuestLimits;
pub use manifest::{Manifest, ManifestError};
