//! Request counters that survive `kill -9`. The edge counts every request in a file-backed shared mapping before the
//! head of its response goes out.
//!
//! [`EdgeCounts::record`] makes no system call and, for a known series, takes only a shared read lock, so it can run for
//! every response. [`EdgeCounts::durable_snapshot`] returns only counters that are on disk, so that no scraped
//! counter decreases after a power loss. The file format is described in [`counter_file`].
//!
//! This crate depends on neither an HTTP server nor the Prometheus client: the edge records, the exposition reads.

pub mod counter_file;
mod exemplar;
mod key;

pub use exemplar::{Exemplar, Exemplars, TraceId};

use counter_file::{CounterFile, CounterFileError, SlotId};
use key::{Counter, Key};
use request_counts::{
    ApplicationCounts, Component, ComponentFailure, OTHER, RequestCounts, RequestLabels, Status,
    is_legible,
};
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::Ordering::Relaxed,
    },
    time::{Duration, SystemTime},
};
use telemetry::{Histogram, histogram, method};

/// Longest name of an application, of a component and of an endpoint with a series of its own, in bytes. A key in the
/// file has room for all three and the other labels.
pub const MAX_NAME_LEN: usize = 90;
/// Maximum number of endpoints with series of their own, per component.
const MAX_ENDPOINTS: usize = 200;

/// The request counters of the edge, in a [`CounterFile`].
#[derive(Debug)]
pub struct EdgeCounts {
    file: CounterFile,
    components: RwLock<Vec<ComponentSlots>>,
    last_durable: Mutex<ApplicationCounts>,
}

/// A component with counters in an [`EdgeCounts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentId(usize);

/// The slots of a component.
#[derive(Debug)]
struct ComponentSlots {
    name: Component,
    endpoints: HashMap<String, Endpoint>,
    errors: SlotId,
    overflowed: SlotId,
    failures: [SlotId; ComponentFailure::ALL.len()],
}

#[derive(Debug)]
struct Endpoint {
    latency: SlotId,
    requests: HashMap<(&'static str, Status), SlotId>,
    /// Not in the file: a trace is looked up while it is new.
    exemplars: Mutex<Exemplars>,
}

impl Endpoint {
    fn new(latency: SlotId) -> Self {
        Self {
            latency,
            requests: HashMap::new(),
            exemplars: Mutex::default(),
        }
    }
}

/// The slots in which one request is counted.
struct Slots {
    requests: SlotId,
    latency: SlotId,
    errors: SlotId,
    /// Slot of `overflowed`, if the request is in the overflow series.
    overflow: Option<SlotId>,
}

/// An error of [`EdgeCounts::open`].
#[derive(Debug, thiserror::Error)]
pub enum EdgeCountsError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] CounterFileError),
    /// The file has a counter that this version does not know.
    #[error(
        "counters {path}: unknown counter {key:?}; written by a newer metrics-host, run that one"
    )]
    UnknownKey {
        /// The file.
        path: String,
        /// The key of the counter.
        key: String,
    },
    /// The counters of other applications leave no room.
    #[error(
        "counters {path}: no room for application {application:?}; choose another --state-dir, or move the file away to start from 0"
    )]
    Full {
        /// The file.
        path: String,
        /// The application.
        application: String,
    },
}

impl EdgeCounts {
    /// Opens the counters in the file at `path`; creates it if it is missing. There is room for the application of
    /// `owner`, unless that has no name. A file of metrics-host 0.1.0 knows no components: its counters become those of
    /// `owner`.
    ///
    /// # Errors
    /// If the file cannot be used, or has no room for the application of `owner`.
    pub fn open(path: &Path, owner: &Component) -> Result<Self, EdgeCountsError> {
        let file = CounterFile::open(path, |key| Key::from_version_1(key, owner))?;
        let mut slots = HashMap::<_, Vec<_>>::new();
        for (slot, text) in file.slots() {
            let text = text.unwrap_or_default();
            let Some(Key { component, counter }) = Key::decode(&text) else {
                return Err(EdgeCountsError::UnknownKey {
                    path: path.display().to_string(),
                    key: text,
                });
            };
            slots.entry(component).or_default().push((counter, slot));
        }
        let components = slots
            .into_iter()
            // Without room for the rest of its slots, a component was never counted in.
            .filter_map(|(component, slots)| ComponentSlots::claim(&file, component, slots))
            .collect();
        let counts = Self {
            file,
            components: RwLock::new(components),
            last_durable: Mutex::default(),
        };
        let application = Component::new(&owner.application, "");
        if *owner != Component::default() && counts.try_component(&application).is_none() {
            return Err(EdgeCountsError::Full {
                path: path.display().to_string(),
                application: application.application,
            });
        }
        Ok(counts)
    }

    /// Finds the counters of `component`, or adds them at 0. A component whose name is too long or that finds no room
    /// in the file shares the counters of its application's requests that reached no component.
    ///
    /// # Panics
    /// If the application is not the `owner` of [`EdgeCounts::open`] and finds no room itself.
    pub fn component(&self, component: &Component) -> ComponentId {
        self.try_component(component).unwrap_or_else(|| {
            tracing::warn!(
                ?component,
                "no room for the component's own counters; its requests count with those that reach no component"
            );
            let application = Component::new(&component.application, "");
            self.try_component(&application)
                .expect("the owner's counters exist since the file was opened")
        })
    }

    fn try_component(&self, component: &Component) -> Option<ComponentId> {
        let mut components = self.write();
        let known = components.iter().position(|known| known.name == *component);
        known.map(ComponentId).or_else(|| {
            let fits = component.is_legible(MAX_NAME_LEN);
            let slots =
                fits.then(|| ComponentSlots::claim(&self.file, component.clone(), Vec::new()));
            components.push(slots.flatten()?);
            Some(ComponentId(components.len() - 1))
        })
    }

    /// Counts one request; `failed` if it ended in an internal exception.
    pub fn record(
        &self,
        component: ComponentId,
        method: &str,
        endpoint: &str,
        status: u16,
        duration: Duration,
        failed: bool,
    ) {
        let slots = self.slots(component, method, endpoint, status);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let latency = self.file.values(slots.latency);
        latency[histogram::BUCKETS].fetch_add(nanos, Relaxed);
        latency[histogram::bucket_index(nanos)].fetch_add(1, Relaxed);
        if failed {
            self.increment(slots.errors);
        }
        if let Some(overflowed) = slots.overflow {
            self.increment(overflowed);
        }
        self.increment(slots.requests);
    }

    /// Makes the trace of a request that was counted the exemplar of its latency bucket.
    pub fn record_exemplar(
        &self,
        component: ComponentId,
        endpoint: &str,
        duration: Duration,
        trace: TraceId,
    ) {
        let components = self.read();
        let endpoints = &components[component.0].endpoints;
        let Some(endpoint) = endpoints.get(endpoint).or_else(|| endpoints.get(OTHER)) else {
            return;
        };
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut exemplars = endpoint
            .exemplars
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exemplars[histogram::bucket_index(nanos)] = Some(Exemplar {
            trace,
            duration,
            at: SystemTime::now(),
        });
    }

    /// Returns the exemplars of latency, by component and endpoint.
    pub fn exemplars(&self) -> HashMap<(Component, String), Exemplars> {
        let mut known = HashMap::new();
        for component in self.read().iter() {
            for (name, endpoint) in &component.endpoints {
                let exemplars = endpoint.exemplars.lock();
                let exemplars = *exemplars.unwrap_or_else(PoisonError::into_inner);
                if exemplars != Exemplars::default() {
                    known.insert((component.name.clone(), name.clone()), exemplars);
                }
            }
        }
        known
    }

    /// Counts one failure of a component.
    pub fn record_failure(&self, component: ComponentId, failure: ComponentFailure) {
        let components = self.read();
        self.increment(components[component.0].failures[failure as usize]);
    }

    /// Creates a series at 0 unless it exists: `increase()` misses the first event of a series that begins with it.
    /// Returns whether there is room for it; otherwise its requests count in the overflow series.
    pub fn declare(
        &self,
        component: ComponentId,
        method: &str,
        endpoint: &str,
        status: u16,
    ) -> bool {
        let slots = self.slots(component, method, endpoint, status);
        slots.overflow.is_none()
    }

    /// Returns counters that are on disk, so that none decreases after a power loss: the current ones or, if the disk
    /// refuses them, the last ones on disk with the error.
    pub fn durable_snapshot(&self) -> (ApplicationCounts, io::Result<()>) {
        // Held until the end, so that a slower caller cannot store an older snapshot.
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

    /// Returns the current counters, which may not be on disk yet.
    pub fn latest(&self) -> ApplicationCounts {
        let components = self.read();
        let mut snapshot = ApplicationCounts::default();
        for component in components.iter() {
            *snapshot.of(&component.name) = self.counts_of(component);
        }
        snapshot
    }

    fn counts_of(&self, component: &ComponentSlots) -> RequestCounts {
        let first = |slot| self.file.values(slot)[0].load(Relaxed);
        let failures = ComponentFailure::ALL.into_iter();
        let mut counts = RequestCounts {
            errors: first(component.errors),
            overflowed: first(component.overflowed),
            component_failures: failures
                .map(|failure| (failure, first(component.failures[failure as usize])))
                .collect(),
            ..RequestCounts::default()
        };
        for (name, endpoint) in &component.endpoints {
            let values = self.file.values(endpoint.latency);
            let latency = Histogram {
                buckets: std::array::from_fn(|bucket| values[bucket].load(Relaxed)),
                sum_nanos: values[histogram::BUCKETS].load(Relaxed),
            };
            counts.latency.insert(name.clone(), latency);
            for ((method, status), slot) in &endpoint.requests {
                let labels = RequestLabels {
                    method,
                    endpoint: name.clone(),
                    status: *status,
                };
                counts.requests.insert(labels, first(*slot));
            }
        }
        counts
    }

    /// Finds the slots of a series, claims new ones, or falls back to the overflow series.
    fn slots(&self, component: ComponentId, method: &str, endpoint: &str, status: u16) -> Slots {
        let method = method::normalize(method);
        let status = Status::Code(status);
        let known = self.read()[component.0].find(method, endpoint, status);
        known.unwrap_or_else(|| {
            let mut components = self.write();
            let component = &mut components[component.0];
            component
                .add(&self.file, method, endpoint, status)
                .or_else(|| {
                    let slots = component.find(OTHER, OTHER, status.class())?;
                    Some(Slots {
                        overflow: Some(component.overflowed),
                        ..slots
                    })
                })
                .expect("the overflow series exist since the component was added")
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<ComponentSlots>> {
        self.components
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<ComponentSlots>> {
        self.components
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn increment(&self, slot: SlotId) {
        self.file.values(slot)[0].fetch_add(1, Relaxed);
    }
}

impl ComponentSlots {
    /// Takes the slots that every component has, beside those that it has already; `None` if the file is full.
    fn claim(file: &CounterFile, name: Component, found: Vec<(Counter, SlotId)>) -> Option<Self> {
        let single = |counter: Counter| {
            let found = found.iter().find(|(known, _)| *known == counter);
            found.map(|(_, slot)| *slot).or_else(|| {
                let component = name.clone();
                file.claim(&Key { component, counter }.encode())
            })
        };
        let mut failures = Vec::new();
        for failure in ComponentFailure::ALL {
            failures.push(single(Counter::Failures(failure))?);
        }
        let mut slots = Self {
            endpoints: HashMap::new(),
            errors: single(Counter::Errors)?,
            overflowed: single(Counter::Overflowed)?,
            failures: failures.try_into().ok()?,
            name: name.clone(),
        };
        for (counter, slot) in &found {
            if let Counter::Latency(endpoint) = counter {
                slots
                    .endpoints
                    .insert(endpoint.clone(), Endpoint::new(*slot));
            }
        }
        for (counter, slot) in found {
            // An endpoint's latency is claimed before its first request series.
            if let Counter::Requests(labels) = counter
                && let Some(endpoint) = slots.endpoints.get_mut(&labels.endpoint)
            {
                endpoint
                    .requests
                    .insert((labels.method, labels.status), slot);
            }
        }
        for class in Status::CLASSES {
            slots.add(file, OTHER, OTHER, class)?;
        }
        Some(slots)
    }

    fn find(&self, method: &'static str, endpoint: &str, status: Status) -> Option<Slots> {
        let endpoint = self.endpoints.get(endpoint)?;
        Some(Slots {
            requests: *endpoint.requests.get(&(method, status))?,
            latency: endpoint.latency,
            errors: self.errors,
            overflow: None,
        })
    }

    /// Finds or adds a series; `None` if it does not fit.
    fn add(
        &mut self,
        file: &CounterFile,
        method: &'static str,
        endpoint: &str,
        status: Status,
    ) -> Option<Slots> {
        if let Some(slots) = self.find(method, endpoint, status) {
            return Some(slots);
        }
        let claim = |counter| {
            let component = self.name.clone();
            file.claim(&Key { component, counter }.encode())
        };
        if !self.endpoints.contains_key(endpoint) {
            if !is_legible(endpoint, MAX_NAME_LEN) || self.endpoints.len() == MAX_ENDPOINTS {
                return None;
            }
            let latency = claim(Counter::Latency(endpoint.to_owned()))?;
            self.endpoints
                .insert(endpoint.to_owned(), Endpoint::new(latency));
        }
        let labels = RequestLabels {
            method,
            endpoint: endpoint.to_owned(),
            status,
        };
        let slot = claim(Counter::Requests(labels))?;
        self.endpoints
            .get_mut(endpoint)?
            .requests
            .insert((method, status), slot);
        self.find(method, endpoint, status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use request_counts::LabelSpace;
    use telemetry::{Delta, Observation, Series};

    fn carts() -> Component {
        Component::new("shop", "carts")
    }

    /// Opens the counters, with those of [`carts`].
    fn open(dir: &tempfile::TempDir) -> (EdgeCounts, ComponentId) {
        let counts = EdgeCounts::open(&dir.path().join("counters"), &carts()).unwrap();
        let component = counts.component(&carts());
        (counts, component)
    }

    fn of_carts(counts: &EdgeCounts) -> RequestCounts {
        let (snapshot, synced) = counts.durable_snapshot();
        synced.unwrap();
        snapshot.get(&carts()).unwrap().clone()
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
    fn counters_continue_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (counts, carts) = open(&dir);
        counts.declare(carts, "GET", "/", 500);
        counts.record(carts, "GET", "/", 200, Duration::from_millis(3), false);
        counts.record(carts, "POST", "/items", 500, Duration::from_secs(60), true);
        counts.record_failure(carts, ComponentFailure::Trap);
        let before = of_carts(&counts);
        drop(counts);

        let (counts, carts) = open(&dir);
        assert_eq!(of_carts(&counts), before);
        counts.record(carts, "GET", "/", 200, Duration::from_millis(3), false);
        let after = of_carts(&counts);
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
    fn equal_series_of_two_components_stay_apart_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let users = Component::new("shop", "users");
        for round in 1..=2 {
            let (counts, carts) = open(&dir);
            let users_id = counts.component(&users);
            for (component, requests) in [(carts, 1), (users_id, 2)] {
                for _ in 0..requests {
                    counts.record(component, "GET", "/items", 500, Duration::ZERO, true);
                    counts.record_failure(component, ComponentFailure::Trap);
                }
            }
            let snapshot = counts.latest();
            for (component, requests) in [(self::carts(), 1), (users.clone(), 2)] {
                let counts = snapshot.get(&component).unwrap();
                let found = count(counts, "GET", "/items", Status::Code(500));
                assert_eq!(found, Some(requests * round), "{component:?}");
                assert_eq!(counts.errors, requests * round);
                assert_eq!(
                    counts.component_failures[&ComponentFailure::Trap],
                    requests * round
                );
            }
        }
    }

    #[test]
    fn a_component_without_room_is_counted_with_its_application() {
        let dir = tempfile::tempdir().unwrap();
        let (counts, _) = open(&dir);
        let long = "x".repeat(MAX_NAME_LEN + 1);
        let id = counts.component(&Component::new("shop", &long));
        counts.record(id, "GET", "/", 200, Duration::ZERO, false);
        let snapshot = counts.latest();
        let shop = snapshot.get(&Component::new("shop", "")).unwrap();
        assert_eq!(count(shop, "GET", "/", Status::Code(200)), Some(1));
    }

    #[test]
    fn an_overflow_is_counted_by_class_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (counts, carts) = open(&dir);
        let record = |endpoint: &str, status| {
            counts.record(carts, "GET", endpoint, status, Duration::ZERO, false);
        };
        for index in 0..2 * MAX_ENDPOINTS {
            record(&format!("/{index}"), 503);
        }
        record(&"x".repeat(MAX_NAME_LEN + 1), 200);
        record("a\nb", 200);
        let snapshot = of_carts(&counts);
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
    fn a_full_file_takes_no_other_application() {
        let dir = tempfile::tempdir().unwrap();
        let (counts, _) = open(&dir);
        for application in 0.. {
            if counts
                .try_component(&Component::new(&application.to_string(), ""))
                .is_none()
            {
                break;
            }
        }
        drop(counts);
        let path = dir.path().join("counters");
        let error = EdgeCounts::open(&path, &Component::new("late", "a")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no room for application \"late\""),
            "{error}"
        );
        EdgeCounts::open(&path, &carts()).unwrap();
        EdgeCounts::open(&path, &Component::default()).unwrap();
    }

    #[test]
    fn no_request_is_lost_when_statuses_use_up_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (counts, carts) = open(&dir);
        for status in 100..1000 {
            for method in method::KNOWN {
                for endpoint in ["/", "/a"] {
                    counts.record(carts, method, endpoint, status, Duration::ZERO, false);
                }
            }
        }
        let snapshot = of_carts(&counts);
        assert_eq!(snapshot.requests.values().sum::<u64>(), 2 * 900 * 9);
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
            let (one_by_one, id) = open(&dir);
            for Observation { series, duration } in &observations {
                one_by_one.record(id, series.method, &series.route, series.status, *duration, series.error.is_some());
            }
            let mut in_batches = ApplicationCounts::default();
            for part in observations.rchunks(cut) {
                let mut delta = Delta::default();
                part.iter().cloned().for_each(|observation| delta.record(observation));
                let space = LabelSpace { max_series: 100, max_label_len: 10 };
                in_batches.merge(&in_batches.change([(&carts(), 0, delta.iter())], space));
            }
            let mut expected = of_carts(&one_by_one);
            // Only the file has the overflow series from the start.
            expected.requests.retain(|labels, _| labels.endpoint != OTHER);
            expected.latency.remove(OTHER);
            expected.component_failures.clear();
            prop_assert_eq!(expected, in_batches.get(&carts()).cloned().unwrap_or_default());
        }
    }
}
