//! Recent history: the totals per endpoint of each component, sampled every 5 seconds and kept for 15 minutes.

use super::totals::Totals;
use request_counts::{ApplicationCounts, Component, OTHER, Status};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Age up to which samples are kept.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Time between samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Sampling intervals per point of a chart. Shorter periods would flicker at low traffic.
const INTERVALS_PER_POINT: usize = 3;
/// Shortest time between two samples that gives a meaningful rate.
const MIN_PERIOD: Duration = Duration::from_secs(1);
/// Most endpoints with totals of their own; the rest counts as "other" of its component. With [`WINDOW`], this and
/// [`MAX_COMPONENTS`] bound the memory to about 15 MB.
const MAX_ENDPOINTS: usize = 200;
/// Most components with totals of their own; the rest counts as the application "other".
const MAX_COMPONENTS: usize = 200;

/// An endpoint of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) component: Component,
    pub(super) endpoint: String,
}

impl Place {
    /// Returns whether it belongs to `application`; every place belongs to `None`, all applications.
    pub(super) fn is_of(&self, application: Option<&str>) -> bool {
        application.is_none_or(|application| self.component.application == application)
    }
}

/// Totals per endpoint at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Time of the sample.
    pub(super) at: Instant,
    /// Totals since counting began.
    pub(super) endpoints: BTreeMap<Arc<Place>, Totals>,
}

/// The period between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    /// Time since the end of the period.
    pub(super) age: Duration,
    pub(super) length: Duration,
    /// Requests to user-facing endpoints.
    pub(super) totals: Totals,
}

/// The samples of the last 15 minutes.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Sample>);

impl Sample {
    /// Sums `counts` per endpoint of each component.
    pub(super) fn new(at: Instant, counts: &ApplicationCounts) -> Self {
        let mut endpoints = BTreeMap::new();
        let mut room = MAX_ENDPOINTS;
        for (index, (component, counts)) in counts.iter().enumerate() {
            let of_component = index < MAX_COMPONENTS;
            let known = if of_component { room } else { 0 };
            let known: BTreeSet<_> = counts.latency.keys().take(known).collect();
            room -= known.len();
            let mut totals = BTreeMap::<&str, Totals>::new();
            let known_or_other =
                |endpoint| known.get(endpoint).map_or(OTHER, |known| known.as_str());
            for (labels, count) in &counts.requests {
                let totals = totals.entry(known_or_other(&labels.endpoint)).or_default();
                totals.requests += count;
                if labels.status.class() == Status::Class(5) {
                    totals.failed += count;
                }
            }
            for (endpoint, histogram) in &counts.latency {
                let totals = totals.entry(known_or_other(endpoint)).or_default();
                totals.latency.merge(histogram);
            }
            for (endpoint, totals) in totals {
                let place = Place {
                    component: match of_component {
                        true => component.clone(),
                        false => Component::new(OTHER, OTHER),
                    },
                    endpoint: endpoint.to_owned(),
                };
                let sum: &mut Totals = endpoints.entry(Arc::new(place)).or_default();
                *sum = *sum + totals;
            }
        }
        Self { at, endpoints }
    }

    /// Returns the requests to `place` since `earlier`.
    pub(super) fn since(&self, earlier: &Self, place: &Place) -> Totals {
        let of = |sample: &Self| sample.endpoints.get(place).copied().unwrap_or_default();
        of(self) - of(earlier)
    }

    /// Sums the user-facing endpoints of `application`, or of all.
    pub(super) fn user_facing(&self, application: Option<&str>) -> Totals {
        self.endpoints
            .iter()
            .filter(|(place, _)| place.is_of(application) && is_user_facing(&place.endpoint))
            .fold(Totals::default(), |sum, (_, totals)| sum + *totals)
    }
}

/// Returns whether `endpoint` is user-facing by the rule of the alerts: `endpoint!~"/(metrics|health/.*)"`.
fn is_user_facing(endpoint: &str) -> bool {
    endpoint != "/metrics" && !endpoint.starts_with("/health/")
}

impl History {
    /// Adds `sample` and drops samples that are older than the window.
    pub(super) fn record(&mut self, mut sample: Sample) {
        while self
            .0
            .front()
            .is_some_and(|oldest| sample.at.saturating_duration_since(oldest.at) > WINDOW)
        {
            self.0.pop_front();
        }
        if let Some(last) = self.0.back() {
            // Samples share the names of endpoints, which rarely change.
            let share = |(endpoint, totals)| match last.endpoints.get_key_value(&endpoint) {
                Some((known, _)) => (Arc::clone(known), totals),
                None => (endpoint, totals),
            };
            sample.endpoints = sample.endpoints.into_iter().map(share).collect();
        }
        self.0.push_back(sample);
    }

    /// Returns the latest sample at least `age` older than `now`, or else the oldest.
    pub(super) fn before(&self, now: Instant, age: Duration) -> Option<&Sample> {
        let mut latest_first = self.0.iter().rev();
        latest_first
            .find(|sample| now.saturating_duration_since(sample.at) >= age)
            .or(self.0.front())
    }

    /// Returns the period of length `age` before `now` of `application`, or of all; `None` if the history is too short
    /// for a rate.
    pub(super) fn period(
        &self,
        now: &Sample,
        age: Duration,
        application: Option<&str>,
    ) -> Option<Period> {
        between(self.before(now.at, age)?, now, now.at, application)
    }

    /// Returns the points of the charts of `application`, or of all, oldest first, up to `now`.
    pub(super) fn periods(&self, now: &Sample, application: Option<&str>) -> Vec<Period> {
        let samples: Vec<_> = self.0.iter().chain([now]).collect();
        let ends = samples.iter().enumerate().skip(1);
        ends.filter_map(|(index, end)| {
            between(
                samples[index.saturating_sub(INTERVALS_PER_POINT)],
                end,
                now.at,
                application,
            )
        })
        .collect()
    }
}

fn between(
    start: &Sample,
    end: &Sample,
    now: Instant,
    application: Option<&str>,
) -> Option<Period> {
    let length = end.at.saturating_duration_since(start.at);
    (length >= MIN_PERIOD).then(|| Period {
        age: now.saturating_duration_since(end.at),
        length,
        totals: end.user_facing(application) - start.user_facing(application),
    })
}

impl Period {
    /// Returns requests per second.
    pub(super) fn rate(&self) -> f64 {
        self.totals.requests as f64 / self.length.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use request_counts::{LabelSpace, RequestLabels};
    use telemetry::{Delta, Observation, Series};

    /// Counts the given requests per endpoint. One in ten has status 503.
    fn counts(endpoints: &[(&str, u64)]) -> ApplicationCounts {
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
        ApplicationCounts::default().change([(&component(), 0, delta.iter())], space)
    }

    fn component() -> Component {
        Component::new("shop", "carts")
    }

    fn place(endpoint: &str) -> Place {
        Place {
            component: component(),
            endpoint: endpoint.into(),
        }
    }

    #[test]
    fn a_sample_adds_up_statuses_and_methods() {
        let sample = Sample::new(Instant::now(), &counts(&[("/a", 20), ("/b", 1)]));
        let a = sample.endpoints[&place("/a")];
        assert_eq!((a.requests, a.failed, a.latency.count()), (20, 2, 20));
        assert_eq!(sample.endpoints[&place("/b")].requests, 1);
    }

    #[test]
    fn rates_cover_user_facing_endpoints_over_the_elapsed_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.record(Sample::new(at(0), &counts(&[("/a", 100)])));
        history.record(Sample::new(at(5), &counts(&[("/a", 150)])));
        let now = Sample::new(
            at(10),
            &counts(&[("/a", 200), ("/health/live", 70), ("/metrics", 9)]),
        );
        let points = history.periods(&now, None);
        let rates: Vec<_> = points.iter().map(Period::rate).collect();
        assert_eq!(rates, [10.0, 10.0]);
        assert_eq!(points[0].age, Duration::from_secs(5));
        assert_eq!(points[1].totals.failed, 10);
        let last = history.period(&now, Duration::from_secs(4), None).unwrap();
        assert_eq!((last.length.as_secs(), last.totals.requests), (5, 50));
        let all = now.since(history.before(now.at, WINDOW).unwrap(), &place("/a"));
        assert_eq!(all.requests, 100);
    }

    #[test]
    fn the_history_is_bounded_in_time_and_endpoints() {
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
        let mut all = ApplicationCounts::default();
        let many = all.of(&component());
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
        let sample = Sample::new(start, &all);
        assert_eq!(sample.endpoints.len(), MAX_ENDPOINTS + 1);
        assert_eq!(sample.user_facing(None).requests, 5000);
        let elsewhere = Sample::new(start, &counts(&[("/a", 7)]));
        assert_eq!(elsewhere.user_facing(Some("shop")).requests, 7);
        assert_eq!(elsewhere.user_facing(Some("blog")).requests, 0);
    }

    #[test]
    fn too_short_a_period_gives_no_rate() {
        let start = Instant::now();
        let mut history = History::default();
        history.record(Sample::new(start, &counts(&[])));
        let now = Sample::new(start + Duration::from_millis(10), &counts(&[("/a", 1)]));
        assert!(history.periods(&now, None).is_empty());
        assert!(history.period(&now, WINDOW, None).is_none());
    }
}
