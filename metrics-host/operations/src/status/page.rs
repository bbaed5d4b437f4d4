//! The page itself, as its template needs it.

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
use std::{net::SocketAddr, time::Duration};

/// What the tiles are about.
const TILE_WINDOW: Duration = Duration::from_secs(60);

/// See `templates/status.html`.
#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct Page<'a> {
    pub(super) build: Build,
    pub(super) ready: bool,
    pub(super) refreshes: bool,
    /// When it was made.
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
    /// Whether it calls for somebody.
    pub(super) alarming: bool,
}

impl Page<'_> {
    /// Returns what stands around this process: name, address and what it is for.
    fn neighbours(&self) -> impl Iterator<Item = (&'static str, &WebUrl, &'static str)> {
        let Links {
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
        .filter_map(|(name, url, what)| Some((name, url.as_ref()?, what)))
    }

    /// Returns the groups of facts with their headings.
    fn groups(&self) -> [(&'static str, &[Fact]); 3] {
        [
            ("Answering", &self.facts.answering),
            ("Telemetry over OTLP", &self.facts.telemetry),
            ("Storage and series", &self.facts.storage),
        ]
    }
}

/// Returns where a browser on this machine finds `address`.
fn url(address: &SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Returns the numbers at the top.
pub(super) fn tiles(
    history: &History,
    now: &Sample,
    facts: &Facts,
    notifications: &[Notification],
) -> Vec<Tile> {
    let tile = |label, value: Option<String>, note: String| Tile {
        label,
        value: value.unwrap_or(words::NONE.into()),
        note,
        alarming: false,
    };
    let last = history.stretch(now, TILE_WINDOW);
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
        tile("Answered 5xx", errors.map(words::percent), note.clone()),
        tile("p95 latency", p95.map(words::latency), note),
    ];
    if facts.in_flight_limit > 0 {
        let limit = format!("of {} at most", words::count(facts.in_flight_limit));
        tiles.push(tile(
            "In flight",
            Some(words::count(facts.in_flight)),
            limit,
        ));
        tiles.push(tile(
            "Instances",
            Some(words::count(facts.instances)),
            "alive now".into(),
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
    let calling = alerts::calling(notifications);
    tiles.push(Tile {
        label: "Alerts firing",
        value: words::count(calling as u64),
        note: match (calling, notifications.len()) {
            (0, 0) => "no notification yet".into(),
            (0, _) => "none calls for you".into(),
            _ => "see below".into(),
        },
        alarming: calling > 0,
    });
    tiles
}
