//! The status page at `/`.
//!
//! ```text
//! Sources ─ every 5 s → History ─┐
//!    └─ now ─────────────────────┴→ charts, endpoints, facts ┐
//! Notifications ──────────────────→ alerts ──────────────────┴→ page
//! ```

mod alerts;
mod charts;
mod endpoints;
mod facts;
mod history;
mod page;
pub mod sampler;
mod totals;
mod trends;
mod words;

use crate::{Build, Notifications, Readiness, WebUrl, html};
use bytes::Bytes;
use exposition::Sources;
use history::{History, Sample};
use http::{Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use serde::Serialize;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The bound addresses.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Addresses {
    /// The application, if this process hosts one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
    /// `/metrics` and this page.
    pub metrics: SocketAddr,
    /// The OTLP ingest, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<SocketAddr>,
}

pub use page::url;

/// The application as clients reach it.
#[derive(Clone, Debug)]
pub struct ApplicationUrl {
    /// Scheme and address.
    pub base: String,
    /// Path of a route to try.
    pub example: String,
}

/// URLs of the application and of neighbouring servers.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The application, if this process counts one at its edge.
    pub application: Option<ApplicationUrl>,
    /// Prometheus, which scrapes `/metrics`.
    pub prometheus: Option<WebUrl>,
    /// Alertmanager, which posts to the webhook.
    pub alertmanager: Option<WebUrl>,
    /// Grafana, which shows the dashboards.
    pub grafana: Option<WebUrl>,
}

/// The status page and its history.
#[derive(Debug)]
pub struct Status {
    sources: Sources,
    readiness: Readiness,
    addresses: Addresses,
    links: Links,
    notifications: Arc<Notifications>,
    build: Build,
    history: Mutex<History>,
}

impl Status {
    /// Creates a status page about `sources`. Its history begins at `now`.
    pub fn new(
        sources: Sources,
        readiness: Readiness,
        addresses: Addresses,
        links: Links,
        notifications: Arc<Notifications>,
        build: Build,
        now: Instant,
    ) -> Self {
        let status = Self {
            sources,
            readiness,
            addresses,
            links,
            notifications,
            build,
            history: Mutex::default(),
        };
        status.sample(now);
        status
    }

    /// Adds a sample of the counters at `now` to the history.
    pub fn sample(&self, now: Instant) {
        let sample = Sample::new(now, &self.sources.latest_counts().counts);
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.record(sample);
    }

    /// Renders the page about `application`, or about all, as of `now`, with the wall-clock time `wall`. The page reloads
    /// itself if it `refreshes`.
    pub fn page(
        &self,
        now: Instant,
        wall: Timestamp,
        application: Option<&str>,
        refreshes: bool,
    ) -> Response<Full<Bytes>> {
        let counted = self.sources.latest_counts();
        let counts = &counted.counts;
        let sample = Sample::new(now, counts);
        let notifications = self.notifications.all();
        let facts = facts::Facts::gather(&self.sources, counts, &self.addresses, wall);
        let page = {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            page::Page {
                build: self.build,
                ready: self.readiness.is_ready(),
                refreshes,
                application,
                counted: &counted,
                time: wall.strftime("%H:%M:%S UTC").to_string(),
                addresses: &self.addresses,
                links: &self.links,
                tiles: page::tiles(&history, &sample, &facts, &notifications, application),
                charts: trends::charts(&history, &sample, application),
                endpoints: endpoints::Table::new(&history, &sample, application),
                alerts: alerts::List::new(&notifications, wall),
                facts,
            }
        };
        html::page(StatusCode::OK, &page)
    }
}
