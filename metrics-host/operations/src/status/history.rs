//! What was counted of late: every few seconds the totals per endpoint, for a quarter of an hour.

use super::totals::Totals;
use request_counts::{OTHER, RequestCounts, Status};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a sample is kept.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Time between samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Samples that a point of a chart spans: single seconds of little traffic would only flicker.
const SPAN: usize = 3;
/// Less time than this between two samples makes no rate.
const SHORTEST: Duration = Duration::from_secs(1);
/// Endpoints that are told apart, which bounds the memory (with [`WINDOW`], to some 6 MB); the rest is "other".
const MAX_ENDPOINTS: usize = 200;

/// Totals per endpoint at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When.
    pub(super) at: Instant,
    /// Since counting began.
    pub(super) endpoints: BTreeMap<Arc<str>, Totals>,
}

/// What happened between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// How long before now it ended.
    pub(super) age: Duration,
    /// How long it was.
    pub(super) length: Duration,
    /// What came in it, to endpoints that users call.
    pub(super) totals: Totals,
}

/// The samples of the last quarter of an hour.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Sample>);

impl Sample {
    /// Adds up `counts` by endpoint.
    pub(super) fn new(at: Instant, counts: &RequestCounts) -> Self {
        let mut endpoints: BTreeMap<&str, Totals> = BTreeMap::new();
        let known: Vec<_> = counts.latency.keys().take(MAX_ENDPOINTS).collect();
        let told_apart = |endpoint| match known.binary_search(&endpoint) {
            Ok(index) => known[index].as_str(),
            Err(_) => OTHER,
        };
        for (labels, count) in &counts.requests {
            let totals = endpoints.entry(told_apart(&labels.endpoint)).or_default();
            totals.requests += count;
            if labels.status.class() == Status::Class(5) {
                totals.failed += count;
            }
        }
        for (endpoint, histogram) in &counts.latency {
            let totals = endpoints.entry(told_apart(endpoint)).or_default();
            totals.latency.merge(histogram);
        }
        let endpoints = endpoints
            .into_iter()
            .map(|(endpoint, totals)| (endpoint.into(), totals));
        Self {
            at,
            endpoints: endpoints.collect(),
        }
    }

    /// Returns what came to `endpoint` since `earlier`.
    pub(super) fn since(&self, earlier: &Self, endpoint: &str) -> Totals {
        let of = |sample: &Self| sample.endpoints.get(endpoint).copied().unwrap_or_default();
        of(self) - of(earlier)
    }

    /// Adds up the endpoints that users call.
    fn of_users(&self) -> Totals {
        self.endpoints
            .iter()
            .filter(|(endpoint, _)| is_for_users(endpoint))
            .fold(Totals::default(), |sum, (_, totals)| sum + *totals)
    }
}

/// Returns whether users call `endpoint`, as the alerts see it: `endpoint!~"/(metrics|health/.*)"`.
fn is_for_users(endpoint: &str) -> bool {
    endpoint != "/metrics" && !endpoint.starts_with("/health/")
}

impl History {
    /// Adds `sample`, and forgets what is older than the window before it.
    pub(super) fn record(&mut self, mut sample: Sample) {
        while self
            .0
            .front()
            .is_some_and(|oldest| sample.at.saturating_duration_since(oldest.at) > WINDOW)
        {
            self.0.pop_front();
        }
        if let Some(last) = self.0.back() {
            // The names are the same each time: they are kept once.
            let share = |(endpoint, totals)| match last.endpoints.get_key_value(&endpoint) {
                Some((known, _)) => (Arc::clone(known), totals),
                None => (endpoint, totals),
            };
            sample.endpoints = sample.endpoints.into_iter().map(share).collect();
        }
        self.0.push_back(sample);
    }

    /// Returns the latest sample that is `age` older than `now`, or else the oldest.
    pub(super) fn before(&self, now: Instant, age: Duration) -> Option<&Sample> {
        let mut latest_first = self.0.iter().rev();
        latest_first
            .find(|sample| now.saturating_duration_since(sample.at) >= age)
            .or(self.0.front())
    }

    /// Returns what came between `age` before `now` and then; `None` if that is too short to tell.
    pub(super) fn stretch(&self, now: &Sample, age: Duration) -> Option<Stretch> {
        between(self.before(now.at, age)?, now, now.at)
    }

    /// Returns the points of the charts, oldest first, up to `now`.
    pub(super) fn stretches(&self, now: &Sample) -> Vec<Stretch> {
        let samples: Vec<_> = self.0.iter().chain([now]).collect();
        let ends = samples.iter().enumerate().skip(1);
        ends.filter_map(|(index, end)| between(samples[index.saturating_sub(SPAN)], end, now.at))
            .collect()
    }
}

fn between(start: &Sample, end: &Sample, now: Instant) -> Option<Stretch> {
    let length = end.at.saturating_duration_since(start.at);
    (length >= SHORTEST).then(|| Stretch {
        age: now.saturating_duration_since(end.at),
        length,
        totals: end.of_users() - start.of_users(),
    })
}

impl Stretch {
    /// Returns the requests per second.
    pub(super) fn rate(&self) -> f64 {
        self.totals.requests as f64 / self.length.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use request_counts::{LabelSpace, RequestLabels};
    use telemetry::{Delta, Observation, Series};

    /// So many requests to each endpoint, one in ten answered 503.
    fn counts(endpoints: &[(&str, u64)]) -> RequestCounts {
        let mut delta = Delta::default();
        for (endpoint, requests) in endpoints {
            for request in 0..*requests {
                let status = if request % 10 == 9 { 503 } else { 200 };
                delta.record(Observation {
                    series: Series::new("GET", endpoint, status, None),
                    duration: Duration::from_millis(3),
                });
            }
        }
        let space = LabelSpace {
            max_series: 10_000,
            max_label_len: 100,
        };
        RequestCounts::default().change(delta.iter(), space)
    }

    #[test]
    fn a_sample_adds_up_statuses_and_methods() {
        let sample = Sample::new(Instant::now(), &counts(&[("/a", 20), ("/b", 1)]));
        let a = sample.endpoints["/a"];
        assert_eq!((a.requests, a.failed, a.latency.count()), (20, 2, 20));
        assert_eq!(sample.endpoints["/b"].requests, 1);
    }

    #[test]
    fn rates_are_of_what_users_call_over_the_time_that_passed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.record(Sample::new(at(0), &counts(&[("/a", 100)])));
        history.record(Sample::new(at(5), &counts(&[("/a", 150)])));
        let now = Sample::new(
            at(10),
            &counts(&[("/a", 200), ("/health/live", 70), ("/metrics", 9)]),
        );
        let points = history.stretches(&now);
        let rates: Vec<_> = points.iter().map(Stretch::rate).collect();
        assert_eq!(rates, [10.0, 10.0]);
        assert_eq!(points[0].age, Duration::from_secs(5));
        assert_eq!(points[1].totals.failed, 10);
        let last = history.stretch(&now, Duration::from_secs(4)).unwrap();
        assert_eq!((last.length.as_secs(), last.totals.requests), (5, 50));
        let all = now.since(history.before(now.at, WINDOW).unwrap(), "/a");
        assert_eq!(all.requests, 100);
    }

    #[test]
    fn what_is_kept_is_bounded_in_time_and_by_endpoints() {
        let start = Instant::now();
        let mut history = History::default();
        for tick in 0..1000 {
            let at = start + tick * INTERVAL;
            history.record(Sample::new(at, &counts(&[("/a", 1)])));
        }
        assert_eq!(history.0.len(), 181);
        assert!(Arc::ptr_eq(
            history.0[0].endpoints.keys().next().unwrap(),
            history.0[180].endpoints.keys().next().unwrap()
        ));
        let mut many = RequestCounts::default();
        for index in 0..5000 {
            let endpoint = format!("/{index}");
            many.latency.insert(endpoint.clone(), Default::default());
            let labels = RequestLabels {
                endpoint,
                method: "GET",
                status: Status::Code(200),
            };
            many.requests.insert(labels, 1);
        }
        let sample = Sample::new(start, &many);
        assert_eq!(sample.endpoints.len(), MAX_ENDPOINTS + 1);
        let all: u64 = sample
            .endpoints
            .values()
            .map(|totals| totals.requests)
            .sum();
        assert_eq!(all, 5000);
    }

    #[test]
    fn a_moment_makes_no_rate() {
        let start = Instant::now();
        let mut history = History::default();
        history.record(Sample::new(start, &counts(&[])));
        let now = Sample::new(start + Duration::from_millis(10), &counts(&[("/a", 1)]));
        assert!(history.stretches(&now).is_empty());
        assert!(history.stretch(&now, WINDOW).is_none());
    }
}
