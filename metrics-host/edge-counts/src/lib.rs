//! Request counters that survive `kill -9`: every request that is answered here is counted in a file-backed shared
//! mapping before the head of its response goes out.
//!
//! [`EdgeCounts::record`] takes no lock for a known series and makes no system call, so it can sit on the path of
//! every response. [`EdgeCounts::durable_snapshot`] returns only counters that are on disk, so that no scraped
//! counter steps back after a power loss. The format of the file is described at [`counter_file`].
//!
//! This crate knows neither HTTP servers nor Prometheus: the edge records, the exposition reads.

pub mod counter_file;
mod key;

use counter_file::{CounterFile, CounterFileError, SlotId};
use key::Key;
use request_counts::{ComponentFailure, OTHER, RequestCounts, RequestLabels, Status};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::{Mutex, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::Duration,
};
use telemetry::{Histogram, histogram, method};

/// Longest endpoint that is told apart, in bytes; leaves room for the rest of its key in the file.
const MAX_ENDPOINT_LEN: usize = 90;
/// Endpoints that are told apart.
const MAX_ENDPOINTS: usize = 200;

/// Adds up requests in a [`CounterFile`].
#[derive(Debug)]
pub struct EdgeCounts {
    file: CounterFile,
    index: RwLock<Index>,
    errors: SlotId,
    overflowed: SlotId,
    failures: BTreeMap<ComponentFailure, SlotId>,
    last_durable: Mutex<RequestCounts>,
}

/// Where the counters of each series are.
type Index = HashMap<String, Endpoint>;

#[derive(Debug)]
struct Endpoint {
    latency: SlotId,
    requests: HashMap<(&'static str, Status), SlotId>,
}

/// The counters that one request adds to.
struct Place {
    requests: SlotId,
    latency: SlotId,
    overflows: bool,
}

/// Why counters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EdgeCountsError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] CounterFileError),
    /// The file counts something that this version does not know.
    #[error(
        "counters {path}: unknown counter {key:?}; written by a newer metrics-host, run that one"
    )]
    UnknownKey {
        /// The file.
        path: String,
        /// The key in it.
        key: String,
    },
}

impl EdgeCounts {
    /// Goes on from what the file at `path` counted, or starts from 0 where there is none.
    ///
    /// # Errors
    /// If the file is there and cannot be used.
    pub fn open(path: &Path) -> Result<Self, EdgeCountsError> {
        let file = CounterFile::open(path)?;
        let mut index = Index::new();
        let mut singles = Vec::new();
        let mut requests = Vec::new();
        for (slot, text) in file.slots() {
            let text = text.unwrap_or_default();
            match Key::decode(&text) {
                Some(Key::Latency(endpoint)) => {
                    index.insert(
                        endpoint,
                        Endpoint {
                            latency: slot,
                            requests: HashMap::new(),
                        },
                    );
                }
                Some(Key::Requests(labels)) => requests.push((labels, slot)),
                Some(single) => singles.push((single, slot)),
                None => {
                    return Err(EdgeCountsError::UnknownKey {
                        path: path.display().to_string(),
                        key: text,
                    });
                }
            }
        }
        for (labels, slot) in requests {
            // An endpoint's latency is claimed before its first request series.
            if let Some(endpoint) = index.get_mut(&labels.endpoint) {
                endpoint
                    .requests
                    .insert((labels.method, labels.status), slot);
            }
        }
        let single = |key: Key| {
            let known = singles
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, slot)| *slot);
            known
                .or_else(|| file.claim(&key.encode()))
                .expect("an empty file has room for the series that always exist")
        };
        let errors = single(Key::Errors);
        let overflowed = single(Key::Overflowed);
        let failures = ComponentFailure::ALL
            .into_iter()
            .map(|failure| (failure, single(Key::Failures(failure))))
            .collect();
        for class in Status::CLASSES {
            claim(&file, &mut index, OTHER, OTHER, class)
                .expect("an empty file has room for the series that always exist");
        }
        Ok(Self {
            file,
            index: RwLock::new(index),
            errors,
            overflowed,
            failures,
            last_durable: Mutex::default(),
        })
    }

    /// Counts one request; `failed` if it hides an internal exception.
    pub fn record(
        &self,
        method: &str,
        endpoint: &str,
        status: u16,
        duration: Duration,
        failed: bool,
    ) {
        let place = self.place(method, endpoint, status);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let latency = self.file.values(place.latency);
        latency[histogram::BUCKETS].fetch_add(nanos, Relaxed);
        latency[histogram::bucket_index(nanos)].fetch_add(1, Relaxed);
        let count = |slot| self.file.values(slot)[0].fetch_add(1, Relaxed);
        if failed {
            count(self.errors);
        }
        if place.overflows {
            count(self.overflowed);
        }
        count(place.requests);
    }

    /// Counts that a component could not answer.
    pub fn record_failure(&self, failure: ComponentFailure) {
        self.file.values(self.failures[&failure])[0].fetch_add(1, Relaxed);
    }

    /// Makes a series exist, at 0 if it is new: `increase()` cannot see the first event of a series that begins
    /// with it.
    pub fn declare(&self, method: &str, endpoint: &str, status: u16) {
        self.place(method, endpoint, status);
    }

    /// Returns counters that are on disk, so that nothing which is shown can step back: those of now, or, with
    /// the reason, the last that reached it.
    pub fn durable_snapshot(&self) -> (RequestCounts, io::Result<()>) {
        // Held until the end, or a slower caller could put an older snapshot back.
        let mut last = self
            .last_durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = self.latest();
        let synced = if now == *last {
            Ok(())
        } else {
            self.file.sync()
        };
        if synced.is_ok() {
            last.clone_from(&now);
        }
        (last.clone(), synced)
    }

    /// Returns counters as they are now, which may not be on disk yet.
    pub fn latest(&self) -> RequestCounts {
        let first = |slot| self.file.values(slot)[0].load(Relaxed);
        let mut snapshot = RequestCounts {
            errors: first(self.errors),
            overflowed: first(self.overflowed),
            component_failures: self
                .failures
                .iter()
                .map(|(failure, slot)| (*failure, first(*slot)))
                .collect(),
            ..RequestCounts::default()
        };
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        for (name, endpoint) in index.iter() {
            let values = self.file.values(endpoint.latency);
            let latency = Histogram {
                buckets: std::array::from_fn(|bucket| values[bucket].load(Relaxed)),
                sum_nanos: values[histogram::BUCKETS].load(Relaxed),
            };
            snapshot.latency.insert(name.clone(), latency);
            for ((method, status), slot) in &endpoint.requests {
                let labels = RequestLabels {
                    method,
                    endpoint: name.clone(),
                    status: *status,
                };
                snapshot.requests.insert(labels, first(*slot));
            }
        }
        snapshot
    }

    fn place(&self, method: &str, endpoint: &str, status: u16) -> Place {
        let method = method::normalize(method);
        let status = Status::Code(status);
        let known = find(
            &self.index.read().unwrap_or_else(PoisonError::into_inner),
            method,
            endpoint,
            status,
        );
        known.unwrap_or_else(|| {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            claim(&self.file, &mut index, method, endpoint, status)
                .or_else(|| {
                    let overflow = find(&index, OTHER, OTHER, status.class())?;
                    Some(Place {
                        overflows: true,
                        ..overflow
                    })
                })
                .expect("the overflow series exist since the file was opened")
        })
    }
}

fn find(index: &Index, method: &'static str, endpoint: &str, status: Status) -> Option<Place> {
    let endpoint = index.get(endpoint)?;
    Some(Place {
        requests: *endpoint.requests.get(&(method, status))?,
        latency: endpoint.latency,
        overflows: false,
    })
}

/// Finds or adds a series; `None` if it does not fit.
fn claim(
    file: &CounterFile,
    index: &mut Index,
    method: &'static str,
    endpoint: &str,
    status: Status,
) -> Option<Place> {
    if let Some(place) = find(index, method, endpoint, status) {
        return Some(place);
    }
    if !index.contains_key(endpoint) {
        let legible = (1..=MAX_ENDPOINT_LEN).contains(&endpoint.len())
            && !endpoint.contains(char::is_control);
        if !legible || index.len() == MAX_ENDPOINTS {
            return None;
        }
        let latency = file.claim(&Key::Latency(endpoint.to_owned()).encode())?;
        index.insert(
            endpoint.to_owned(),
            Endpoint {
                latency,
                requests: HashMap::new(),
            },
        );
    }
    let labels = RequestLabels {
        method,
        endpoint: endpoint.to_owned(),
        status,
    };
    let slot = file.claim(&Key::Requests(labels).encode())?;
    index
        .get_mut(endpoint)?
        .requests
        .insert((method, status), slot);
    find(index, method, endpoint, status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use request_counts::LabelSpace;
    use telemetry::{Delta, Observation, Series};

    fn open(dir: &tempfile::TempDir) -> EdgeCounts {
        EdgeCounts::open(&dir.path().join("counters")).unwrap()
    }

    fn count(
        snapshot: &RequestCounts,
        method: &'static str,
        endpoint: &str,
        status: Status,
    ) -> Option<u64> {
        let labels = RequestLabels {
            method,
            endpoint: endpoint.into(),
            status,
        };
        snapshot.requests.get(&labels).copied()
    }

    #[test]
    fn counters_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let counts = open(&dir);
        counts.declare("GET", "/", 500);
        counts.record("GET", "/", 200, Duration::from_millis(3), false);
        counts.record("POST", "/items", 500, Duration::from_secs(60), true);
        counts.record_failure(ComponentFailure::Trap);
        let (before, synced) = counts.durable_snapshot();
        synced.unwrap();
        drop(counts);

        let counts = open(&dir);
        assert_eq!(counts.durable_snapshot().0, before);
        counts.record("GET", "/", 200, Duration::from_millis(3), false);
        let (after, _) = counts.durable_snapshot();
        assert_eq!(count(&after, "GET", "/", Status::Code(200)), Some(2));
        assert_eq!(count(&after, "GET", "/", Status::Code(500)), Some(0));
        assert_eq!(after.latency["/"].count(), 2);
        assert_eq!(
            (
                after.errors,
                after.component_failures[&ComponentFailure::Trap]
            ),
            (1, 1)
        );
    }

    #[test]
    fn what_does_not_fit_is_counted_by_class_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let counts = open(&dir);
        for index in 0..2 * MAX_ENDPOINTS {
            counts.record("GET", &format!("/{index}"), 503, Duration::ZERO, false);
        }
        counts.record(
            "GET",
            &"x".repeat(MAX_ENDPOINT_LEN + 1),
            200,
            Duration::ZERO,
            false,
        );
        counts.record("GET", "a\nb", 200, Duration::ZERO, false);
        let (snapshot, _) = counts.durable_snapshot();
        let kept = MAX_ENDPOINTS as u64 - 1;
        assert_eq!(
            count(&snapshot, OTHER, OTHER, Status::Class(5)),
            Some(2 * MAX_ENDPOINTS as u64 - kept)
        );
        assert_eq!(count(&snapshot, OTHER, OTHER, Status::Class(2)), Some(2));
        assert_eq!(snapshot.overflowed, 2 * MAX_ENDPOINTS as u64 - kept + 2);
        assert_eq!(
            snapshot.requests.values().sum::<u64>(),
            2 * MAX_ENDPOINTS as u64 + 2
        );
    }

    #[test]
    fn no_request_is_lost_when_statuses_use_up_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let counts = open(&dir);
        for status in 100..1000 {
            for method in method::KNOWN {
                counts.record(method, "/", status, Duration::ZERO, false);
            }
        }
        let (snapshot, _) = counts.durable_snapshot();
        assert_eq!(snapshot.requests.values().sum::<u64>(), 900 * 9);
        assert!(snapshot.overflowed > 0);
    }

    proptest! {
        #[test]
        fn however_requests_arrive_the_totals_are_the_same(
            requests in prop::collection::vec((0..3usize, 0..3u16, any::<bool>(), 0..20_000_000_000u64), 0..100),
            cut in 1..10usize,
        ) {
            let observations: Vec<_> = requests
                .into_iter()
                .map(|(which, status, failed, nanos)| Observation {
                    series: Series::new(["GET", "PUT", "BREW"][which], ["/", "/a", "/b"][which], 200 + status, failed.then_some("e")),
                    duration: Duration::from_nanos(nanos),
                })
                .collect();
            let dir = tempfile::tempdir().unwrap();
            let one_by_one = open(&dir);
            for Observation { series, duration } in &observations {
                one_by_one.record(series.method, &series.route, series.status, *duration, series.error.is_some());
            }
            let mut in_batches = RequestCounts::default();
            for part in observations.rchunks(cut) {
                let mut delta = Delta::default();
                part.iter().cloned().for_each(|observation| delta.record(observation));
                in_batches.merge(&in_batches.change(delta.iter(), LabelSpace { max_series: 100, max_label_len: 10 }));
            }
            let mut expected = one_by_one.durable_snapshot().0;
            // The file has its overflow series from the start.
            expected.requests.retain(|labels, _| labels.endpoint != OTHER);
            expected.latency.remove(OTHER);
            expected.component_failures.clear();
            prop_assert_eq!(expected, in_batches);
        }
    }
}
