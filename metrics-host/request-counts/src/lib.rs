//! Counters of HTTP requests as values: `app_requests_total` and the other `app_*` metrics.
//!
//! `edge-counts` reads them from its file, `journal` from its database; the exposition and the status page add the two
//! up. Pure logic: no I/O, no clock, no Prometheus client.
//!
//! [`ApplicationCounts`] holds the counters of any number of applications, apart by [`Component`].
//!
//! The label space is closed. Methods are a fixed set, statuses are numbers, endpoints are limited in length and
//! number. A request whose labels do not fit is counted in an overflow series of its component, one for each class of
//! status, so that an alert on 5xx still sees it. No request is dropped.

mod application_counts;
mod labels;

pub use application_counts::ApplicationCounts;
pub use labels::{Component, ComponentFailure, RequestLabels, Status};

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

/// Counters of one component: totals at one moment, or the increments of one change.
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
    /// Requests whose telemetry the component dropped: they are in no series.
    pub lost: u64,
}

/// Room for new series.
#[derive(Clone, Copy, Debug)]
struct Room {
    series: usize,
    endpoints: usize,
    max_label_len: usize,
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
        add(&mut self.lost, other.lost);
    }

    /// Returns the new values of the counters that `change` increments.
    fn after(&self, change: &Self) -> Self {
        let mut after = change.clone();
        for (labels, count) in &mut after.requests {
            add(
                count,
                self.requests.get(labels).copied().unwrap_or_default(),
            );
        }
        for (endpoint, histogram) in &mut after.latency {
            if let Some(before) = self.latency.get(endpoint) {
                histogram.merge(before);
            }
        }
        for (failure, count) in &mut after.component_failures {
            let before = self.component_failures.get(failure);
            add(count, before.copied().unwrap_or_default());
        }
        add(&mut after.errors, self.errors);
        add(&mut after.overflowed, self.overflowed);
        add(&mut after.lost, self.lost);
        after
    }

    /// Sets the counters that `values` has.
    fn set(&mut self, values: &Self) {
        for (labels, value) in &values.requests {
            update(&mut self.requests, labels, |count| *count = *value);
        }
        for (endpoint, value) in &values.latency {
            update(&mut self.latency, endpoint, |histogram| {
                *histogram = *value;
            });
        }
        self.component_failures.extend(&values.component_failures);
        self.errors = values.errors;
        self.overflowed = values.overflowed;
        self.lost = values.lost;
    }

    /// Returns the increments that `counted` makes to these counters. A label set that is new and does not fit into
    /// `room` goes to the overflow series.
    fn change<'a>(
        &self,
        counted: impl IntoIterator<Item = (&'a Series, &'a Histogram)>,
        room: &mut Room,
    ) -> Self {
        let mut change = Self::default();
        for (series, histogram) in counted {
            let mut labels = labels_of(series);
            let count = histogram.count();
            let known =
                change.requests.contains_key(&labels) || self.requests.contains_key(&labels);
            if !known {
                let new_endpoint = !change.latency.contains_key(&labels.endpoint)
                    && !self.latency.contains_key(&labels.endpoint);
                let fits = is_legible(&labels.endpoint, room.max_label_len)
                    && room.series > 0
                    && (!new_endpoint || room.endpoints > 0);
                if fits {
                    room.series -= 1;
                    room.endpoints -= usize::from(new_endpoint);
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
