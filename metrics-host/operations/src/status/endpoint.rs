//! The page of an endpoint: methods, statuses, latency, and the last errors that the log has.

use super::{
    PageConfig,
    charts::Mark,
    history::{History, Kind, Sample},
    page::{self, Tile},
    totals::Totals,
    trends::{self, Chart, HeatMap, QUANTILE_NAMES, QUANTILES},
    view::{Range, View},
    words,
};
use crate::{Build, errors::RequestError};
use askama::Template;
use jiff::Timestamp;
use request_counts::Status;
use std::collections::BTreeMap;

/// Data of `templates/endpoint.html`.
#[derive(Template)]
#[template(path = "endpoint.html")]
pub(super) struct EndpointPage<'a> {
    pub(super) build: Build,
    pub(super) view: &'a View,
    /// Time of rendering.
    pub(super) time: String,
    /// Whether a request to the endpoint was ever counted.
    pub(super) is_known: bool,
    pub(super) tiles: Vec<Tile>,
    pub(super) charts: [Chart; 3],
    pub(super) heat_map: HeatMap,
    pub(super) kinds: Vec<KindRow>,
    /// Latest first; `None` if this process answers no requests, so that its log has none.
    pub(super) errors: Option<Vec<RequestError>>,
}

/// The requests with one method and status.
pub(super) struct KindRow {
    pub(super) method: &'static str,
    pub(super) status: Status,
    late: u64,
    ever: u64,
}

impl KindRow {
    pub(super) fn late_text(&self) -> String {
        words::count(self.late)
    }

    pub(super) fn ever_text(&self) -> String {
        words::count(self.ever)
    }

    /// Returns whether requests failed within the range.
    pub(super) fn is_failing(&self) -> bool {
        self.late > 0 && self.status.class() == Status::Class(5)
    }
}

impl<'a> EndpointPage<'a> {
    /// Describes the endpoints in the scope of `view` as of `now`, with the wall-clock time `wall`.
    pub(super) fn new(
        config: &PageConfig,
        view: &'a View,
        (history, now, wall): (&History, &Sample, Timestamp),
        marks: &[Mark],
        errors: Option<Vec<RequestError>>,
    ) -> Self {
        let start = history.before(now.at, view.range.length()).unwrap_or(now);
        let (earlier, latest) = (kinds(start, view), kinds(now, view));
        let rows = latest.into_iter().map(|(kind, ever)| {
            let before = earlier.get(&kind).copied().unwrap_or_default();
            let (method, status) = kind;
            KindRow {
                method,
                status,
                late: ever.saturating_sub(before),
                ever,
            }
        });
        let kinds: Vec<_> = rows.filter(|row| row.ever > 0).collect();
        Self {
            build: config.build,
            view,
            time: page::time(wall),
            is_known: !kinds.is_empty(),
            tiles: tiles(now.sum(&view.scope) - start.sum(&view.scope), view),
            charts: trends::charts(history, now, wall, view, config, marks),
            heat_map: trends::heat_map(history, now, view),
            kinds,
            errors,
        }
    }

    /// Returns the name of the endpoint.
    fn endpoint(&self) -> &str {
        self.view.scope.endpoint.as_deref().unwrap_or_default()
    }

    /// Returns the name of its application, or an empty text.
    fn application(&self) -> &str {
        self.view.scope.application.as_deref().unwrap_or_default()
    }

    /// Returns the name of its component, or an empty text.
    fn component(&self) -> &str {
        self.view.scope.component.as_deref().unwrap_or_default()
    }

    /// Returns the URL of the page of the application.
    fn application_url(&self) -> String {
        let application = self.view.scope.application.as_deref();
        self.view.of(application, None, None).url()
    }

    /// Returns the URL of the page of the component.
    fn component_url(&self) -> String {
        let scope = &self.view.scope;
        let (application, component) = (scope.application.as_deref(), scope.component.as_deref());
        self.view.of(application, component, None).url()
    }

    /// Returns the URL of the page of everything.
    fn all_url(&self) -> String {
        self.view.of(None, None, None).url()
    }
}

/// Sums the requests in the scope of `view` by method and status.
fn kinds(sample: &Sample, view: &View) -> BTreeMap<Kind, u64> {
    let mut kinds = BTreeMap::new();
    for (place, counters) in &sample.endpoints {
        if view.scope.has(place) {
            for (kind, count) in &counters.kinds {
                *kinds.entry(*kind).or_default() += count;
            }
        }
    }
    kinds
}

/// Returns the numbers of the range.
fn tiles(late: Totals, view: &View) -> Vec<Tile> {
    let note = format!("last {}", view.range.label());
    let mut tiles = vec![
        Tile::new("Requests", Some(words::count(late.requests)), &note),
        Tile::new(
            "5xx responses",
            late.error_ratio().map(words::percent),
            &note,
        ),
    ];
    for (q, name) in QUANTILES.into_iter().zip(QUANTILE_NAMES) {
        tiles.push(Tile::new(name, late.quantile(q).map(words::latency), &note));
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{
        Links, Thresholds,
        history::{Counters, Place},
    };
    use request_counts::Component;
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    fn sample(at: Instant, kinds: &[(Kind, u64)]) -> Sample {
        let place = |endpoint: &str| Place {
            component: Component::new("shop", "carts"),
            endpoint: endpoint.into(),
        };
        let counters = Counters {
            kinds: kinds.iter().copied().collect(),
            ..Counters::default()
        };
        let counters = Arc::new(counters);
        Sample {
            at,
            endpoints: [
                (Arc::new(place("/a")), Arc::clone(&counters)),
                (Arc::new(place("/b")), counters),
            ]
            .into(),
            problems: Default::default(),
        }
    }

    #[test]
    fn an_endpoint_shows_its_methods_and_statuses_and_what_failed_of_late() {
        let start = Instant::now();
        let (ok, failed) = (Status::Code(200), Status::Code(503));
        let mut history = History::default();
        history.record(sample(start, &[(("GET", ok), 10), (("GET", failed), 2)]));
        let now = sample(
            start + Duration::from_secs(60),
            &[
                (("GET", ok), 15),
                (("GET", failed), 2),
                (("PUT", failed), 1),
            ],
        );
        let view = View::parse("application=shop&component=carts&endpoint=/a");
        let config = PageConfig {
            build: Build {
                version: "1",
                revision: "r",
            },
            links: Links::default(),
            thresholds: Thresholds {
                error_ratio: 0.05,
                latency_seconds: 0.5,
            },
        };
        let time = (&history, &now, Timestamp::UNIX_EPOCH);
        let page = EndpointPage::new(&config, &view, time, &[], None);
        let rows: Vec<_> = page
            .kinds
            .iter()
            .map(|row| (row.method, row.status, row.late, row.ever, row.is_failing()))
            .collect();
        let expected = [
            ("GET", ok, 5, 15, false),
            ("GET", failed, 0, 2, false),
            ("PUT", failed, 1, 1, true),
        ];
        assert_eq!(rows, expected);
        let other = View::parse("endpoint=/c");
        let page = EndpointPage::new(&config, &other, time, &[], None);
        assert!(!page.is_known);
    }
}
