//! The table of endpoints: of late, and since counting began.

use super::{
    history::{History, Sample, WINDOW},
    totals::Totals,
    words,
};
use std::time::Duration;

/// Rows; an application has few routes, and whoever sends telemetry may have many.
const MOST: usize = 50;

/// The table, the busiest endpoints first.
pub(super) struct Table {
    /// How long "of late" is.
    pub(super) window: String,
    pub(super) rows: Vec<Row>,
    pub(super) total: Row,
    /// Endpoints that are not shown.
    pub(super) more: usize,
}

/// One endpoint, or all of them.
pub(super) struct Row {
    pub(super) endpoint: String,
    pub(super) late: Cells,
    pub(super) ever: Cells,
}

/// What there is to say of some requests.
pub(super) struct Cells {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Seconds.
    pub(super) p95: Option<f64>,
}

impl Table {
    /// Compares `now` with the oldest sample of `history`.
    pub(super) fn new(history: &History, now: &Sample) -> Self {
        let start = history.before(now.at, WINDOW).unwrap_or(now);
        let mut all = (Totals::default(), Totals::default());
        let mut rows = Vec::new();
        for (endpoint, ever) in &now.endpoints {
            let late = now.since(start, endpoint);
            all = (all.0 + late, all.1 + *ever);
            if ever.requests > 0 {
                rows.push((endpoint, late, *ever));
            }
        }
        rows.sort_by_key(|(_, late, ever)| std::cmp::Reverse((late.requests, ever.requests)));
        Self {
            window: words::span(since(start, now).min(WINDOW)),
            more: rows.len().saturating_sub(MOST),
            total: row("All", all.0, all.1),
            rows: rows
                .into_iter()
                .take(MOST)
                .map(|(endpoint, late, ever)| row(endpoint, late, ever))
                .collect(),
        }
    }
}

fn since(start: &Sample, now: &Sample) -> Duration {
    now.at.saturating_duration_since(start.at)
}

fn row(endpoint: &str, late: Totals, ever: Totals) -> Row {
    Row {
        endpoint: endpoint.to_owned(),
        late: Cells::new(late),
        ever: Cells::new(ever),
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

    /// Returns the requests in words.
    pub(super) fn requests_text(&self) -> String {
        words::count(self.requests)
    }

    /// Returns the share of requests that failed, in words.
    pub(super) fn error_text(&self) -> String {
        match self.requests {
            0 => words::NONE.into(),
            requests => words::percent(self.failed as f64 / requests as f64),
        }
    }

    /// Returns the latency in words.
    pub(super) fn p95_text(&self) -> String {
        self.p95.map_or(words::NONE.into(), words::latency)
    }

    /// Returns the latency in seconds, as a number that can be read back.
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
    use std::{collections::BTreeMap, time::Instant};

    fn sample(at: Instant, endpoints: &[(&str, u64, u64)]) -> Sample {
        let totals = |requests, failed| Totals {
            requests,
            failed,
            ..Totals::default()
        };
        let endpoints = endpoints
            .iter()
            .map(|(endpoint, requests, failed)| ((*endpoint).into(), totals(*requests, *failed)));
        Sample {
            at,
            endpoints: endpoints.collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn rows_have_both_what_came_of_late_and_what_came_ever() {
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
        let table = Table::new(&history, &now);
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
        let table = Table::new(&History::default(), &now);
        assert_eq!((table.rows.len(), table.more), (50, 10));
        assert_eq!(table.rows[0].endpoint, "/59");
        assert_eq!(table.total.ever.requests, 60 * 61 / 2);
    }
}
