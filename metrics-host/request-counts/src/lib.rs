//! Counters of HTTP requests as values: `app_requests_total` and the other `app_*` metrics.
//!
//! `edge-counts` reads them from its file, `journal` from its database; the exposition and the status page add the two
//! up. Pure logic: no I/O, no clock, no Prometheus client.
//!
//! The label space is closed. Methods are a fixed set, statuses are numbers, endpoints are limited in length and
//! number. A request whose labels do not fit is counted in an overflow series, one for each class of status, so
//! that an alert on 5xx still sees it. No request is dropped.

mod labels;

pub use labels::{ComponentFailure, RequestLabels, Status};

use std::collections::BTreeMap;
use telemetry::{Histogram, Series, attribute};

/// Label of method and endpoint in the overflow series.
pub const OTHER: &str = "other";

/// Limits on the labels of a metric.
#[derive(Clone, Copy, Debug)]
pub struct LabelSpace {
    /// Maximum number of series per metric.
    pub max_series: usize,
    /// Longest label value, in bytes.
    pub max_label_len: usize,
}

/// Counters of requests: totals at one moment, or the increments of one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// `app_requests_total`.
    pub requests: BTreeMap<RequestLabels, u64>,
    /// `app_request_latency_seconds`, by endpoint.
    pub latency: BTreeMap<String, Histogram>,
    /// `app_errors_total`.
    pub errors: u64,
    /// `app_component_failures_total`.
    pub component_failures: BTreeMap<ComponentFailure, u64>,
    /// Requests counted in the overflow series.
    pub overflowed: u64,
}

impl RequestCounts {
    /// Adds the counters of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (labels, count) in &other.requests {
            update(&mut self.requests, labels, |counter| add(counter, *count));
        }
        for (endpoint, histogram) in &other.latency {
            update(&mut self.latency, endpoint, |latency| {
                latency.merge(histogram);
            });
        }
        for (failure, count) in &other.component_failures {
            add(self.component_failures.entry(*failure).or_default(), *count);
        }
        add(&mut self.errors, other.errors);
        add(&mut self.overflowed, other.overflowed);
    }

    /// Returns the increments that `counted` makes to these counters. A label set that is new and does not fit into
    /// `space` goes to the overflow series.
    #[must_use]
    pub fn change<'a>(
        &self,
        counted: impl IntoIterator<Item = (&'a Series, &'a Histogram)>,
        space: LabelSpace,
    ) -> Self {
        let mut change = Self::default();
        let mut series_left = space.max_series.saturating_sub(self.requests.len());
        let mut endpoints_left = space.max_series.saturating_sub(self.latency.len());
        for (series, histogram) in counted {
            let mut labels = labels_of(series);
            let count = histogram.count();
            let known =
                change.requests.contains_key(&labels) || self.requests.contains_key(&labels);
            if !known {
                let new_endpoint = !change.latency.contains_key(&labels.endpoint)
                    && !self.latency.contains_key(&labels.endpoint);
                let fits = is_legible(&labels.endpoint, space.max_label_len)
                    && series_left > 0
                    && (!new_endpoint || endpoints_left > 0);
                if fits {
                    series_left -= 1;
                    endpoints_left -= usize::from(new_endpoint);
                } else {
                    labels = RequestLabels {
                        endpoint: OTHER.into(),
                        method: OTHER,
                        status: labels.status.class(),
                    };
                    add(&mut change.overflowed, count);
                }
            }
            update(&mut change.latency, &labels.endpoint, |latency| {
                latency.merge(histogram);
            });
            add(change.requests.entry(labels).or_default(), count);
            if let Some(class) = &series.error {
                add(&mut change.errors, count);
                if class == attribute::ERROR_PANIC {
                    let traps = change.component_failures.entry(ComponentFailure::Trap);
                    add(traps.or_default(), count);
                }
            }
        }
        change
    }

    /// Returns the number of series; a histogram counts as one.
    pub fn series(&self) -> usize {
        self.requests.len() + self.latency.len()
    }
}

fn labels_of(series: &Series) -> RequestLabels {
    RequestLabels {
        endpoint: series.route.clone(),
        method: series.method,
        status: Status::Code(series.status),
    }
}

/// Returns whether a label value has 1 to `max_len` bytes and no control character.
pub fn is_legible(label: &str, max_len: usize) -> bool {
    (1..=max_len).contains(&label.len()) && !label.contains(char::is_control)
}

fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}

/// Changes an entry; clones its key only if the entry is new.
fn update<K: Ord + Clone, V: Default>(
    map: &mut BTreeMap<K, V>,
    key: &K,
    change: impl FnOnce(&mut V),
) {
    match map.get_mut(key) {
        Some(value) => change(value),
        None => change(map.entry(key.clone()).or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use telemetry::{Delta, Observation};

    const SPACE: LabelSpace = LabelSpace {
        max_series: 3,
        max_label_len: 10,
    };

    fn delta(requests: &[(&str, u16, Option<&str>)]) -> Delta {
        let mut delta = Delta::default();
        for (route, status, error) in requests {
            delta.record(Observation {
                series: Series::new("GET", route, *status, *error),
                duration: Duration::from_millis(1),
            });
        }
        delta
    }

    #[test]
    fn a_known_series_always_fits() {
        let mut counts = RequestCounts::default();
        let first = delta(&[("/a", 200, None), ("/b", 200, None), ("/c", 200, None)]);
        counts.merge(&counts.change(first.iter(), SPACE));
        counts.merge(&counts.change(first.iter(), SPACE));
        let more = delta(&[("/d", 503, None), ("/a", 404, None)]);
        counts.merge(&counts.change(more.iter(), SPACE));
        assert_eq!(counts.overflowed, 2);
        let of = |endpoint: &str, method, status| {
            let labels = RequestLabels {
                endpoint: endpoint.into(),
                method,
                status,
            };
            counts.requests[&labels]
        };
        assert_eq!(of("/c", "GET", Status::Code(200)), 2);
        assert_eq!(of(OTHER, OTHER, Status::Class(5)), 1);
        assert_eq!(of(OTHER, OTHER, Status::Class(4)), 1);
        assert_eq!(counts.latency[OTHER].count(), 2);
    }

    #[test]
    fn an_illegible_endpoint_does_not_fit() {
        let illegible = delta(&[
            ("", 200, None),
            ("a\nb", 200, None),
            ("/01234567890", 200, None),
        ]);
        let change = RequestCounts::default().change(illegible.iter(), SPACE);
        assert_eq!((change.overflowed, change.requests.len()), (3, 1));
    }

    #[test]
    fn a_trap_is_counted_once_for_all_requests_it_ends() {
        let victims = delta(&[
            ("/", 500, Some(attribute::ERROR_PANIC)),
            ("/", 500, Some(attribute::ERROR_NEIGHBOUR)),
            ("/", 500, Some("store")),
        ]);
        let change = RequestCounts::default().change(victims.iter(), SPACE);
        assert_eq!(change.errors, 3);
        assert_eq!(change.component_failures[&ComponentFailure::Trap], 1);
    }
}
