//! The data of the page for its template.

use super::{
    Addresses, Links, alerts,
    endpoints::Table,
    facts::{Fact, Facts},
    history::{History, Sample},
    trends::Chart,
    words,
};
use crate::{Build, WebUrl, notifications::Notification};
use askama::Template;
use exposition::{Counted, Way};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// Period that the tiles cover.
const TILE_WINDOW: Duration = Duration::from_secs(60);

/// Data of `templates/status.html`.
#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct Page<'a> {
    pub(super) build: Build,
    pub(super) ready: bool,
    pub(super) refreshes: bool,
    /// The application that the page is about; `None` for all.
    pub(super) application: Option<&'a str>,
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

impl Page<'_> {
    /// Returns the applications with their versions, as the headline names them.
    fn applications(&self) -> BTreeSet<String> {
        let components = self.facts.components.iter();
        components
            .filter(|[application, ..]| self.application.is_none_or(|shown| shown == application))
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
            .filter(|application| self.application.is_none_or(|shown| shown == *application))
    }

    /// Returns the query of this page for `application` alone.
    fn of(&self, application: &str) -> String {
        query(Some(application), self.refreshes)
    }

    /// Returns the query of this page for all applications.
    fn of_all(&self) -> String {
        query(None, self.refreshes)
    }

    /// Returns the query of this page with or without reloading.
    fn refreshing(&self, refreshes: bool) -> String {
        query(self.application, refreshes)
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
    fn groups(&self) -> [(&'static str, &[Fact]); 3] {
        [
            ("Requests and instances", &self.facts.answering),
            ("Telemetry over OTLP", &self.facts.telemetry),
            ("Storage and series", &self.facts.storage),
        ]
    }
}

/// Returns the query that selects `application`, or all, and whether the page reloads itself.
fn query(application: Option<&str>, refreshes: bool) -> String {
    let mut query = form_urlencoded::Serializer::new("?".to_owned());
    if let Some(application) = application {
        query.append_pair("application", application);
    }
    if !refreshes {
        query.append_pair("refresh", "off");
    }
    query.finish()
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
    application: Option<&str>,
) -> Vec<Tile> {
    let tile = |label, value: Option<String>, note: String| Tile {
        label,
        value: value.unwrap_or(words::NO_VALUE.into()),
        note,
        alarming: false,
    };
    let last = history.period(now, TILE_WINDOW, application);
    let note = last.map_or("not yet known".into(), |last| {
        format!("last {}", words::span(last.length.min(TILE_WINDOW)))
    });
    let errors = last.and_then(|last| last.totals.error_ratio());
    let p95 = last.and_then(|last| last.totals.quantile(0.95));
    let mut tiles = vec![
        tile(
            "Requests per second",
            last.map(|last| words::rate(last.rate())),
            note.clone(),
        ),
        tile("5xx responses", errors.map(words::percent), note.clone()),
        tile("p95 latency", p95.map(words::latency), note),
    ];
    if facts.in_flight_limit > 0 {
        let limit = format!("limit {}", words::count(facts.in_flight_limit));
        tiles.push(tile(
            "In flight",
            Some(words::count(facts.in_flight)),
            limit,
        ));
        tiles.push(tile(
            "Instances",
            Some(words::count(facts.instances)),
            "running".into(),
        ));
    } else {
        let age = facts.last_batch.map(words::span);
        let note = if age.is_some() { "ago" } else { "none yet" };
        tiles.push(tile("Last telemetry", age, note.into()));
        tiles.push(tile(
            "Senders",
            Some(words::count(facts.senders)),
            "remembered".into(),
        ));
    }
    let needing_attention = alerts::needing_attention(notifications);
    tiles.push(Tile {
        label: "Alerts firing",
        value: words::count(needing_attention as u64),
        note: match (needing_attention, notifications.len()) {
            (0, 0) => "no notification yet".into(),
            (0, _) => "none needs action".into(),
            _ => "see below".into(),
        },
        alarming: needing_attention > 0,
    });
    tiles
}
