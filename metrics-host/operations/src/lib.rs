//! The HTTP endpoint for operators, Prometheus and Alertmanager.
//!
//! | request | response |
//! |---|---|
//! | `GET /metrics` | the metrics, rendered by the crate `exposition` |
//! | `GET /` | the status page: up to 6 hours, endpoints, alerts, telemetry, storage |
//! | `GET /endpoint` | an endpoint: methods, statuses, latency, the last errors |
//! | `GET /runbooks/`, `/runbooks/{alert}` | the runbooks, embedded in the binary |
//! | `POST /api/v1/alerts` | the webhook for Alertmanager |
//! | `GET /-/healthy` | 200 |
//! | `GET /-/ready` | 200, or 503 during start-up and shutdown; [`ScrapeGates`] make both wait for a scrape |
//!
//! The pages show only data of this process, update themselves also without their script, and load nothing from other
//! servers. The binary `metrics-host` serves [`Operations`] on a thread of its own, so that monitoring stays up while components are busy.

mod errors;
mod html;
mod notifications;
mod readiness;
mod runbooks;
mod scrapes;
mod service;
mod status;
mod web_url;

pub use errors::{RecentErrors, RequestError};
pub use notifications::{Notifications, Webhook, WebhookError};
pub use readiness::Readiness;
pub use scrapes::{Gate, ScrapeGates};
pub use service::Operations;
pub use status::{
    Addresses, ApplicationUrl, Events, Links, PageConfig, Status, Thresholds, View, sampler, url,
};
pub use web_url::{ParseWebUrlError, WebUrl};

/// Version and commit, shown on the pages.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Version of the package.
    pub version: &'static str,
    /// Commit of the build.
    pub revision: &'static str,
}
