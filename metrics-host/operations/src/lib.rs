//! The endpoint for operators, Prometheus and Alertmanager.
//!
//! | request | response |
//! |---|---|
//! | `GET /metrics` | the page of the crate `exposition` |
//! | `GET /` | the status page: the last 15 minutes, endpoints, alerts, telemetry, storage |
//! | `GET /runbooks/`, `/runbooks/{alert}` | the runbooks, built in |
//! | `POST /api/v1/alerts` | Alertmanager's webhook |
//! | `GET /-/healthy`, `/-/ready` | 200; 200 or 503 |
//!
//! The pages show what this process knows and ask nobody: no script, no frame, nothing from another server. The binary
//! serves this endpoint on a thread of its own, so that monitoring stays up while components are busy.

mod html;
mod notifications;
mod readiness;
mod runbooks;
mod service;
mod status;
mod web_url;

pub use notifications::{Notifications, Webhook, WebhookError};
pub use readiness::Readiness;
pub use service::Operations;
pub use status::{Addresses, Links, Status, sampler};
pub use web_url::{ParseWebUrlError, WebUrl};

/// The build that the pages name.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Version of the package.
    pub version: &'static str,
    /// Commit.
    pub revision: &'static str,
}
