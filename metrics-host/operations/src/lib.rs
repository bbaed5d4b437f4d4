//! The HTTP endpoint for operators, Prometheus and Alertmanager.
//!
//! | request | response |
//! |---|---|
//! | `GET /metrics` | the metrics, rendered by the crate `exposition` |
//! | `GET /` | the status page: the last 15 minutes, endpoints, alerts, telemetry, storage |
//! | `GET /runbooks/`, `/runbooks/{alert}` | the runbooks, embedded in the binary |
//! | `POST /api/v1/alerts` | the webhook for Alertmanager |
//! | `GET /-/healthy` | 200 |
//! | `GET /-/ready` | 200, or 503 during start-up and shutdown; [`ScrapeGates`] make both wait for a scrape |
//!
//! The pages show only data of this process. They need no script and load nothing from other servers. The binary
//! `metrics-host` serves [`Operations`] on a thread of its own, so that monitoring stays up while components are busy.

mod html;
mod notifications;
mod readiness;
mod runbooks;
mod scrapes;
mod service;
mod status;
mod web_url;

pub use notifications::{Notifications, Webhook, WebhookError};
pub use readiness::Readiness;
pub use scrapes::{Gate, ScrapeGates};
pub use service::Operations;
pub use status::{Addresses, ApplicationUrl, Links, Status, sampler, url};
pub use web_url::{ParseWebUrlError, WebUrl};

/// Version and commit, shown on the pages.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Version of the package.
    pub version: &'static str,
    /// Commit of the build.
    pub revision: &'static str,
}
