//! The status page at `/`, and the page of an endpoint at `/endpoint`.
//!
//! ```text
//! Sources ─ every 5 s → History ─┐
//!    └─ now ─────────────────────┴→ charts, endpoints, facts ┐
//! Notifications ──────────────────→ alerts ──────────────────┴→ page
//! ```
//!
//! A script fetches the page again every second and changes what differs. Without the script, the page reloads itself.

mod alerts;
mod charts;
mod endpoint;
mod endpoints;
mod facts;
mod history;
mod neighbours;
mod page;
mod problems;
pub mod sampler;
mod totals;
mod trends;
mod view;
mod words;

use crate::{Build, Notifications, Readiness, RecentErrors, WebUrl, html};
use bytes::Bytes;
use endpoint::EndpointPage;
use exposition::{Counted, Sources};
use facts::Facts;
use history::{History, Sample};
use http::{Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use metric::Snapshot;
use page::Page;
use serde::Serialize;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
pub use view::View;

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

/// Thresholds of the alerts, which the charts show.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Share of requests with a 5xx above which `AppHigh5xxErrorRate` fires.
    pub error_ratio: f64,
    /// 95th percentile of the latency in seconds above which `AppHighP95Latency` fires.
    pub latency_seconds: f64,
}

/// The configuration of the page.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// Version and commit.
    pub build: Build,
    /// Where its links lead.
    pub links: Links,
    /// Thresholds of the alerts in Prometheus.
    pub thresholds: Thresholds,
}

/// Events that the page shows.
#[derive(Debug)]
pub struct Events {
    /// Notifications from Alertmanager.
    pub notifications: Arc<Notifications>,
    /// Errors in the log.
    pub errors: RecentErrors,
}

/// The status page and its history.
#[derive(Debug)]
pub struct Status {
    sources: Sources,
    readiness: Readiness,
    addresses: Addresses,
    config: PageConfig,
    events: Events,
    history: Mutex<History>,
}

/// The state at one time.
struct Moment {
    counted: Counted,
    own: Snapshot,
    sample: Sample,
}

impl Status {
    /// Creates a status page about `sources`. Its history begins at `now`.
    pub fn new(
        sources: Sources,
        readiness: Readiness,
        addresses: Addresses,
        config: PageConfig,
        events: Events,
        now: Instant,
    ) -> Self {
        let status = Self {
            sources,
            readiness,
            addresses,
            config,
            events,
            history: Mutex::default(),
        };
        status.sample(now);
        status
    }

    /// Adds a sample of the counters at `now` to the history.
    pub fn sample(&self, now: Instant) {
        let sample = self.at(now).sample;
        self.history().record(sample);
    }

    fn at(&self, now: Instant) -> Moment {
        let counted = self.sources.latest_counts();
        let own = self.sources.registry().snapshot();
        let problems = problems::values(&counted.counts, &own);
        Moment {
            sample: Sample::new(now, &counted.counts, problems),
            counted,
            own,
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renders the page that `view` chooses as of `now`, with the wall-clock time `wall`.
    pub fn page(&self, now: Instant, wall: Timestamp, view: &View) -> Response<Full<Bytes>> {
        let moment = self.at(now);
        let notifications = self.events.notifications.all();
        let marks = alerts::marks(&notifications, wall, view.range, &view.scope);
        let history = self.history();
        let charts = (&*history, &moment.sample, wall);
        if let Some(endpoint) = &view.scope.endpoint {
            let errors = self.addresses.api.map(|_| self.events.errors.of(endpoint));
            let page = EndpointPage::new(&self.config, view, charts, &marks, errors);
            drop(history);
            let status = match page.is_known {
                true => StatusCode::OK,
                false => StatusCode::NOT_FOUND,
            };
            return html::live_page(status, &page);
        }
        let Moment {
            counted,
            own,
            sample,
        } = &moment;
        let start = history.before(now, view.range.length()).unwrap_or(sample);
        let facts = Facts::gather(
            &self.sources,
            (own, &counted.counts),
            &self.addresses,
            (start, sample),
            view.range,
            wall,
        );
        let page = Page {
            build: self.config.build,
            ready: self.readiness.is_ready(),
            view,
            counted,
            time: page::time(wall),
            addresses: &self.addresses,
            links: &self.config.links,
            tiles: page::tiles(&history, sample, &facts, &notifications, view),
            charts: trends::charts(&history, sample, wall, view, &self.config, &marks),
            endpoints: endpoints::Table::new(&history, sample, view),
            alerts: alerts::List::new(&notifications, wall),
            facts,
        };
        drop(history);
        html::live_page(StatusCode::OK, &page)
    }
}
