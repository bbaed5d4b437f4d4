//! The data of the page for its template.

use super::{
    Addresses, Links, alerts,
    endpoints::{Row, Table},
    facts::{Fact, Facts},
    history::{History, Sample},
    trends::Chart,
    view::{Range, View},
    words,
};
use crate::{Build, WebUrl, notifications::Notification};
use askama::Template;
use exposition::{Counted, Way};
use jiff::Timestamp;
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// Period that the tiles cover.
const TILE_WINDOW: Duration = Duration::from_secs(60);

/// Data of `templates/status.html`.
#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct Page<'a> {
    pub(super) build: Build,
    pub(super) ready: bool,
    pub(super) view: &'a View,
    /// The ways in which each application is counted.
    pub(super) counted: &'a Counted,
    /// Time of rendering.
    pub(super) time: String,
    pub(super) addresses: &'a Addresses,
    pub(super) links: &'a Links,
    pub(super) tiles: Vec<Tile>,
    pub(super) charts: [Chart; 3],
    pub(super) endpoints: Table,
    pub(super) alerts: alerts::List,
    pub(super) facts: Facts,
}

/// A number at the top.
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) note: String,
    /// Whether the number needs attention.
    pub(super) alarming: bool,
}

impl Tile {
    pub(super) fn new(label: &'static str, value: Option<String>, note: &str) -> Self {
        Self {
            label,
            value: value.unwrap_or(words::NO_VALUE.into()),
            note: note.into(),
            alarming: false,
        }
    }
}

impl Page<'_> {
    /// Returns the applications with their versions, as the headline names them.
    fn applications(&self) -> BTreeSet<String> {
        let components = self.facts.components.iter();
        components
            .filter(|[application, ..]| self.shows(application))
            .map(|[application, _, version, _]| format!("{application} {version}"))
            .chain(self.counted_by_spans().map(str::to_owned))
            .collect()
    }

    /// Returns the applications that are counted from Spin's spans.
    fn counted_by_spans(&self) -> impl Iterator<Item = &str> {
        let counted = self.counted.ways.iter();
        counted
            .filter(|(_, way)| *way == Way::Spans)
            .map(|(application, _)| &**application)
            .filter(|application| self.shows(application))
    }

    fn shows(&self, application: &str) -> bool {
        let shown = &self.view.scope.application;
        shown.as_ref().is_none_or(|shown| shown == application)
    }

    /// Returns the application, and the component if there is one, that the page is about; `None` for all.
    fn shown(&self) -> Option<String> {
        let scope = &self.view.scope;
        let names = [&scope.application, &scope.component];
        let names: Vec<_> = names.into_iter().flatten().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(" / "))
    }

    /// Returns the URL of the page about `application`.
    fn application_url(&self, application: &str) -> String {
        self.view.of(Some(application), None, None).url()
    }

    /// Returns the URL of the page about the component of `row`.
    fn component_url(&self, row: &Row) -> String {
        let (application, component) = (Some(&*row.application), Some(&*row.component));
        self.view.of(application, component, None).url()
    }

    /// Returns the URL of the page about the endpoint of `row`.
    fn endpoint_url(&self, row: &Row) -> String {
        let (application, component) = (Some(&*row.application), Some(&*row.component));
        let view = self.view.of(application, component, Some(&row.endpoint));
        view.url()
    }

    /// Returns the URL of the page about all applications.
    fn all_url(&self) -> String {
        self.view.of(None, None, None).url()
    }

    /// Returns the configured neighbouring servers: name, URL and purpose.
    fn neighbours(&self) -> impl Iterator<Item = (&'static str, &WebUrl, &'static str)> {
        let Links {
            application: _,
            prometheus,
            alertmanager,
            grafana,
        } = self.links;
        [
            ("Prometheus", prometheus, "for queries and rules"),
            ("Alertmanager", alertmanager, "to silence an alert"),
            ("Grafana", grafana, "for dashboards"),
        ]
        .into_iter()
        .filter_map(|(name, url, purpose)| Some((name, url.as_ref()?, purpose)))
    }

    /// Returns the groups of facts with their headings.
    fn groups(&self) -> impl Iterator<Item = (&'static str, &[Fact])> {
        [
            ("Requests and instances", &*self.facts.answering),
            ("Telemetry over OTLP", &*self.facts.telemetry),
            ("Storage and series", &*self.facts.storage),
        ]
        .into_iter()
        .filter(|(_, facts)| !facts.is_empty())
    }

    /// Returns the address of the OTLP ingest, if somebody sends to it or may be about to.
    fn ingest(&self) -> Option<String> {
        let address = self.addresses.otlp.as_ref()?;
        (!self.facts.telemetry.is_empty()).then(|| url("http", address))
    }
}

/// Formats the time at which a page was rendered.
pub(super) fn time(wall: Timestamp) -> String {
    format!("{} UTC", words::clock(wall))
}

/// Returns a URL of `address` that works in a browser on this machine.
pub fn url(scheme: &str, address: &SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("{scheme}://127.0.0.1:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

/// Returns the tiles at the top.
pub(super) fn tiles(
    history: &History,
    now: &Sample,
    facts: &Facts,
    notifications: &[Notification],
    view: &View,
) -> Vec<Tile> {
    let last = history.period(now, TILE_WINDOW, &view.scope);
    let note = last.map_or("not yet known".into(), |last| {
        format!("last {}", words::span(last.length.min(TILE_WINDOW)))
    });
    let errors = last.and_then(|last| last.totals.error_ratio());
    let p95 = last.and_then(|last| last.totals.quantile(0.95));
    let mut tiles = vec![
        Tile::new(
            "Requests per second",
            last.map(|last| words::rate(last.rate())),
            &note,
        ),
        Tile::new("5xx responses", errors.map(words::percent), &note),
        Tile::new("p95 latency", p95.map(words::latency), &note),
    ];
    if facts.in_flight_limit > 0 {
        let limit = format!("limit {}", words::count(facts.in_flight_limit));
        let (in_flight, instances) = (facts.in_flight, facts.instances);
        tiles.push(Tile::new(
            "In flight",
            Some(words::count(in_flight)),
            &limit,
        ));
        tiles.push(Tile::new(
            "Instances",
            Some(words::count(instances)),
            "running",
        ));
    } else {
        let age = facts.last_batch.map(words::span);
        let note = if age.is_some() { "ago" } else { "none yet" };
        let senders = Some(words::count(facts.senders));
        tiles.push(Tile::new("Last telemetry", age, note));
        tiles.push(Tile::new("Senders", senders, "remembered"));
    }
    let needing_attention = alerts::needing_attention(notifications);
    tiles.push(Tile {
        alarming: needing_attention > 0,
        ..match (needing_attention, notifications.len()) {
            (0, 0) => Tile::new("Alerts firing", None, "not connected"),
            (0, _) => Tile::new("Alerts firing", Some("0".into()), "none needs action"),
            (some, _) => Tile::new(
                "Alerts firing",
                Some(words::count(some as u64)),
                "see below",
            ),
        }
    });
    tiles
}
