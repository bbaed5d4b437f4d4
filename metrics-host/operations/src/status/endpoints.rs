//! The tables of applications and endpoints, with recent and total numbers.

use super::{
    history::{History, Place, Sample},
    totals::Totals,
    view::View,
    words,
};
use request_counts::Component;
use std::{collections::BTreeMap, time::Duration};

/// Most rows. Hosted applications have few routes, but senders of telemetry may have many.
const MAX_ROWS: usize = 50;

/// The tables, the busiest rows first.
pub(super) struct Table {
    /// Length of the recent window, in words.
    pub(super) window: String,
    /// User-facing requests of each application. Those that fail come first: a small application must not hide behind a
    /// large one.
    pub(super) applications: Vec<Row>,
    pub(super) rows: Vec<Row>,
    /// Whether the rows are of several components.
    pub(super) names_components: bool,
    pub(super) total: Row,
    /// Number of endpoints that are not shown.
    pub(super) more: usize,
}

/// One endpoint, or the sum of several.
pub(super) struct Row {
    pub(super) application: String,
    pub(super) component: String,
    pub(super) endpoint: String,
    /// Label matchers of the row's samples on `/metrics`.
    matchers: Vec<String>,
    /// Numbers of the recent window.
    pub(super) late: Cells,
    /// Numbers since counting began.
    pub(super) ever: Cells,
}

/// The numbers of a row in one period.
pub(super) struct Cells {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// 95th percentile of the latency, in seconds.
    pub(super) p95: Option<f64>,
}

impl Table {
    /// Compares `now` with the sample of `history` from the start of the range of `view`. The endpoints are those of
    /// its scope.
    pub(super) fn new(history: &History, now: &Sample, view: &View) -> Self {
        let (length, scope) = (view.range.length(), &view.scope);
        let start = history.before(now.at, length).unwrap_or(now);
        let mut all = (Totals::default(), Totals::default());
        let mut rows = Vec::new();
        let mut applications = BTreeMap::<_, (Totals, Totals)>::new();
        for (place, counters) in &now.endpoints {
            let ever = &counters.totals;
            let late = now.since(start, place);
            let sums = applications
                .entry(&place.component.application)
                .or_default();
            *sums = (sums.0 + late, sums.1 + *ever);
            if scope.has(place) {
                all = (all.0 + late, all.1 + *ever);
                if ever.requests > 0 {
                    rows.push((place, late, *ever));
                }
            }
        }
        let sum = |application: Option<&str>, component: Option<&str>, (late, ever)| Row {
            application: application.unwrap_or_default().to_owned(),
            component: String::new(),
            endpoint: String::new(),
            matchers: [("application", application), ("component", component)]
                .into_iter()
                .filter_map(|(label, name)| Some(matcher(label, name?)))
                .collect(),
            late: Cells::new(late),
            ever: Cells::new(ever),
        };
        let mut applications: Vec<_> = applications
            .into_iter()
            .map(|(name, sums)| sum(Some(name), None, sums))
            .collect();
        applications.sort_by(|one, other| {
            let by_failures = other.late.error_ratio().total_cmp(&one.late.error_ratio());
            by_failures.then(other.late.requests.cmp(&one.late.requests))
        });
        applications.truncate(MAX_ROWS);
        let mut components = rows.iter().map(|(place, ..)| &place.component);
        let first = components.next();
        let names_components = components.any(|component| Some(component) != first);
        rows.sort_by_key(|(_, late, ever)| std::cmp::Reverse((late.requests, ever.requests)));
        Self {
            window: words::span(since(start, now).min(length)),
            more: rows.len().saturating_sub(MAX_ROWS),
            total: sum(
                scope.application.as_deref(),
                scope.component.as_deref(),
                all,
            ),
            names_components,
            applications,
            rows: rows
                .into_iter()
                .take(MAX_ROWS)
                .map(|(place, late, ever)| row(place, late, ever))
                .collect(),
        }
    }
}

fn since(start: &Sample, now: &Sample) -> Duration {
    now.at.saturating_duration_since(start.at)
}

fn row(place: &Place, late: Totals, ever: Totals) -> Row {
    let Component {
        application,
        component,
    } = &place.component;
    Row {
        matchers: vec![
            matcher("application", application),
            matcher("component", component),
            matcher("endpoint", &place.endpoint),
        ],
        application: application.clone(),
        component: component.clone(),
        endpoint: place.endpoint.clone(),
        late: Cells::new(late),
        ever: Cells::new(ever),
    }
}

fn matcher(label: &str, value: &str) -> String {
    format!("{label}=\"{value}\"")
}

impl Row {
    /// Returns the selector of the row's samples.
    pub(super) fn selector(&self) -> String {
        match &self.matchers[..] {
            [] => String::new(),
            matchers => format!("{{{}}}", matchers.join(",")),
        }
    }

    /// Returns the selector of those that count failed requests.
    pub(super) fn failed_selector(&self) -> String {
        let failed = "http_status=~\"5..\"".to_owned();
        let matchers = self.matchers.iter().chain([&failed]);
        let matchers: Vec<_> = matchers.map(String::as_str).collect();
        format!("{{{}}}", matchers.join(","))
    }
}

impl Cells {
    fn new(totals: Totals) -> Self {
        Self {
            requests: totals.requests,
            failed: totals.failed,
            p95: totals.quantile(0.95),
        }
    }

    /// Formats the number of requests.
    pub(super) fn requests_text(&self) -> String {
        words::count(self.requests)
    }

    /// Returns the ratio of failed requests; 0 without requests.
    fn error_ratio(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// Formats the ratio of failed requests.
    pub(super) fn error_text(&self) -> String {
        match self.requests {
            0 => words::NO_VALUE.into(),
            _ => words::percent(self.error_ratio()),
        }
    }

    /// Formats the latency for people.
    pub(super) fn p95_text(&self) -> String {
        self.p95.map_or(words::NO_VALUE.into(), words::latency)
    }

    /// Formats the latency in seconds, at full precision.
    pub(super) fn p95_exact(&self) -> String {
        match self.p95 {
            Some(f64::INFINITY) => "+Inf".into(),
            seconds => seconds.map_or("NaN".into(), |seconds| seconds.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::history::Counters;
    use std::{sync::Arc, time::Instant};

    fn place(application: &str, endpoint: &str) -> Place {
        Place {
            component: Component::new(application, "c"),
            endpoint: endpoint.into(),
        }
    }

    fn counters(requests: u64, failed: u64) -> Arc<Counters> {
        let totals = Totals {
            requests,
            failed,
            ..Totals::default()
        };
        Arc::new(Counters {
            totals,
            ..Counters::default()
        })
    }

    fn sample(at: Instant, endpoints: &[(&str, u64, u64)]) -> Sample {
        let endpoints = endpoints.iter().map(|(endpoint, requests, failed)| {
            let place = place("shop", endpoint);
            (Arc::new(place), counters(*requests, *failed))
        });
        Sample {
            at,
            endpoints: endpoints.collect(),
            problems: Default::default(),
        }
    }

    #[test]
    fn rows_have_recent_and_total_numbers() {
        let start = Instant::now();
        let mut history = History::default();
        history.record(sample(
            start,
            &[("/a", 1000, 10), ("/b", 5, 0), ("/c", 0, 0)],
        ));
        let now = sample(
            start + Duration::from_secs(250),
            &[("/a", 1010, 11), ("/b", 105, 0), ("/c", 0, 0)],
        );
        let table = Table::new(&history, &now, &View::default());
        let rows: Vec<_> = table
            .rows
            .iter()
            .map(|row| (&*row.endpoint, row.late.requests, row.ever.requests))
            .collect();
        assert_eq!(rows, [("/b", 100, 105), ("/a", 10, 1010)]);
        assert_eq!(table.rows[1].late.error_text(), "10.0\u{a0}%");
        assert_eq!(
            (table.total.ever.requests, table.total.ever.failed),
            (1115, 11)
        );
        assert_eq!((&*table.window, table.more), ("4\u{a0}min", 0));
        assert_eq!(table.rows[0].late.p95_exact(), "NaN");
    }

    #[test]
    fn only_the_busiest_are_shown_and_all_are_added_up() {
        let names: Vec<_> = (0..60).map(|index| format!("/{index:02}")).collect();
        let endpoints: Vec<_> = names
            .iter()
            .zip(1..)
            .map(|(name, count)| (&**name, count, 0))
            .collect();
        let now = sample(Instant::now(), &endpoints);
        let table = Table::new(&History::default(), &now, &View::default());
        assert_eq!((table.rows.len(), table.more), (50, 10));
        assert_eq!(table.rows[0].endpoint, "/59");
        assert_eq!(table.total.ever.requests, 60 * 61 / 2);
    }

    #[test]
    fn a_small_application_that_fails_comes_before_a_large_healthy_one() {
        let mut now = sample(Instant::now(), &[("/a", 1000, 1)]);
        let blog = Arc::new(place("blog", "/a"));
        now.endpoints.insert(blog, counters(3, 3));
        let mut history = History::default();
        let mut before = now.clone();
        before.at -= Duration::from_secs(60);
        before.endpoints.clear();
        history.record(before);
        let table = Table::new(&history, &now, &View::parse("application=shop"));
        let applications: Vec<_> = table
            .applications
            .iter()
            .map(|row| (&*row.application, row.late.failed, row.late.requests))
            .collect();
        assert_eq!(applications, [("blog", 3, 3), ("shop", 1, 1000)]);
        assert_eq!((table.rows.len(), table.total.ever.requests), (1, 1000));
    }
}
