//! Recent history: the counters of each endpoint and of problems, sampled in memory for up to 6 hours.

use super::{
    problems,
    totals::Totals,
    view::{Range, Scope},
};
use request_counts::{ApplicationCounts, Component, OTHER, RequestCounts, Status};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Time between samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Older samples are further apart. Each tier has 180 samples; those of two tiers share their memory.
const TIERS: [Tier; 3] = [
    // Rates over less than 15 s would flicker at low traffic.
    Tier::new(15 * 60, INTERVAL.as_secs(), 15),
    Tier::new(60 * 60, 20, 20),
    Tier::new(6 * 60 * 60, 120, 120),
];
/// Deviation of a timer that is no deviation from an interval.
const JITTER: Duration = Duration::from_secs(1);
/// Shortest time between two samples that gives a meaningful rate.
const MIN_PERIOD: Duration = Duration::from_secs(1);
/// Most endpoints with counters of their own; the rest counts as "other" of its component. Endpoints without a request
/// between two samples share their memory. This, [`MAX_COMPONENTS`] and [`MAX_KINDS`] bound the memory to about 80 MB,
/// if all of 200 endpoints and of 200 components have requests all the time; 20 busy endpoints take 3 MB.
const MAX_ENDPOINTS: usize = 200;
/// Most components with counters of their own; the rest counts as the application "other".
const MAX_COMPONENTS: usize = 200;
/// Most pairs of method and status with counters of their own; the rest counts by class of status.
const MAX_KINDS: usize = 1000;

/// Samples at one distance from each other.
#[derive(Clone, Copy)]
struct Tier {
    /// Age up to which samples are kept.
    window: Duration,
    /// Time between samples.
    every: Duration,
    /// Time that a point of a chart covers.
    point: Duration,
}

/// An endpoint of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) component: Component,
    pub(super) endpoint: String,
}

/// Method and status of a response.
pub(super) type Kind = (&'static str, Status);

/// The counters of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) totals: Totals,
    /// Requests by method and status, in order.
    pub(super) kinds: Box<[(Kind, u64)]>,
}

/// The counters of an endpoint while they are added up.
#[derive(Default)]
struct Sums {
    totals: Totals,
    kinds: BTreeMap<Kind, u64>,
}

/// All counters at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Time of the sample.
    pub(super) at: Instant,
    /// Counters since counting began.
    pub(super) endpoints: BTreeMap<Arc<Place>, Arc<Counters>>,
    pub(super) problems: problems::Values,
}

/// The period between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    /// Time since the end of the period.
    pub(super) age: Duration,
    pub(super) length: Duration,
    /// Requests in the scope.
    pub(super) totals: Totals,
}

/// The samples of the last 6 hours.
#[derive(Debug, Default)]
pub(super) struct History([VecDeque<Arc<Sample>>; TIERS.len()]);

impl Tier {
    const fn new(window: u64, every: u64, point: u64) -> Self {
        Self {
            window: Duration::from_secs(window),
            every: Duration::from_secs(every),
            point: Duration::from_secs(point),
        }
    }

    /// Returns the index of the finest tier that reaches back to `age`.
    fn for_age(age: Duration) -> usize {
        let reaching = TIERS.iter().position(|tier| tier.window >= age);
        reaching.unwrap_or(TIERS.len() - 1)
    }
}

impl Place {
    /// Returns whether it is user-facing by the rule of the alerts: `endpoint!~"/(metrics|health/.*)"`.
    pub(super) fn is_user_facing(&self) -> bool {
        self.endpoint != "/metrics" && !self.endpoint.starts_with("/health/")
    }
}

impl Sample {
    /// Sums `counts` per endpoint of each component.
    pub(super) fn new(at: Instant, counts: &ApplicationCounts, problems: problems::Values) -> Self {
        let mut endpoints = BTreeMap::<_, Sums>::new();
        let (mut room, mut kinds) = (MAX_ENDPOINTS, MAX_KINDS);
        for (index, (component, counts)) in counts.iter().enumerate() {
            let has_room = index < MAX_COMPONENTS;
            let known = if has_room { room } else { 0 };
            let known: BTreeSet<_> = counts.latency.keys().take(known).collect();
            room -= known.len();
            let component = match has_room {
                true => component.clone(),
                false => Component::new(OTHER, OTHER),
            };
            for (endpoint, sums) in by_endpoint(counts, &known, &mut kinds) {
                let place = Place {
                    component: component.clone(),
                    endpoint: endpoint.to_owned(),
                };
                endpoints.entry(place).or_default().add(&sums);
            }
        }
        let endpoints = endpoints.into_iter();
        let endpoints = endpoints.map(|(place, sums)| (Arc::new(place), Arc::new(sums.into())));
        Self {
            at,
            endpoints: endpoints.collect(),
            problems,
        }
    }

    /// Returns the requests to `place` since `earlier`.
    pub(super) fn since(&self, earlier: &Self, place: &Place) -> Totals {
        self.totals(place) - earlier.totals(place)
    }

    fn totals(&self, place: &Place) -> Totals {
        let counters = self.endpoints.get(place);
        counters.map(|counters| counters.totals).unwrap_or_default()
    }

    /// Sums the endpoints that the charts of `scope` show.
    pub(super) fn sum(&self, scope: &Scope) -> Totals {
        self.endpoints
            .iter()
            .filter(|(place, _)| scope.charts(place))
            .fold(Totals::default(), |sum, (_, counters)| {
                sum + counters.totals
            })
    }
}

/// Sums the counters of a component per endpoint. Those that are not `known` count as [`OTHER`], and methods and statuses
/// beyond `room` by their class.
fn by_endpoint<'a>(
    counts: &'a RequestCounts,
    known: &BTreeSet<&'a String>,
    room: &mut usize,
) -> BTreeMap<&'a str, Sums> {
    let mut endpoints = BTreeMap::<_, Sums>::new();
    let known_or_other = |endpoint| known.get(endpoint).map_or(OTHER, |known| known.as_str());
    for (labels, count) in &counts.requests {
        let endpoint = known_or_other(&labels.endpoint);
        let sums = endpoints.entry(endpoint).or_default();
        sums.totals.requests += count;
        if labels.status.class() == Status::Class(5) {
            sums.totals.failed += count;
        }
        let kind = (labels.method, labels.status);
        let kind = match sums.kinds.contains_key(&kind) || *room > 0 {
            true => kind,
            false => (OTHER, labels.status.class()),
        };
        if !sums.kinds.contains_key(&kind) {
            *room = room.saturating_sub(1);
        }
        *sums.kinds.entry(kind).or_default() += count;
    }
    for (endpoint, histogram) in &counts.latency {
        let sums = endpoints.entry(known_or_other(endpoint)).or_default();
        sums.totals.latency.merge(histogram);
    }
    endpoints
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.totals = self.totals + other.totals;
        for (kind, count) in &other.kinds {
            *self.kinds.entry(*kind).or_default() += count;
        }
    }
}

impl From<Sums> for Counters {
    fn from(Sums { totals, kinds }: Sums) -> Self {
        Self {
            totals,
            kinds: kinds.into_iter().collect(),
        }
    }
}

impl History {
    /// Adds `sample` and drops samples that are too old.
    pub(super) fn record(&mut self, mut sample: Sample) {
        if let Some(last) = self.0[0].back() {
            // Names rarely change, and most endpoints get no request within 5 s.
            let share = |(place, counters): (_, Arc<Counters>)| match last
                .endpoints
                .get_key_value(&place)
            {
                Some((known, same)) if **same == *counters => (Arc::clone(known), Arc::clone(same)),
                Some((known, _)) => (Arc::clone(known), counters),
                None => (place, counters),
            };
            sample.endpoints = sample.endpoints.into_iter().map(share).collect();
        }
        let sample = Arc::new(sample);
        for (tier, samples) in TIERS.iter().zip(&mut self.0) {
            let age = |of: &Sample| sample.at.saturating_duration_since(of.at);
            while samples
                .front()
                .is_some_and(|oldest| age(oldest) > tier.window)
            {
                samples.pop_front();
            }
            let last = samples.back();
            if last.is_none_or(|last| age(last) + JITTER >= tier.every) {
                samples.push_back(Arc::clone(&sample));
            }
        }
    }

    /// Returns the latest sample at least `age` older than `now`, or else the oldest.
    pub(super) fn before(&self, now: Instant, age: Duration) -> Option<&Sample> {
        let samples = &self.0[Tier::for_age(age)];
        let mut latest_first = samples.iter().rev();
        latest_first
            .find(|sample| now.saturating_duration_since(sample.at) >= age)
            .or(samples.front())
            .map(|sample| &**sample)
    }

    /// Returns the period of length `age` before `now`; `None` if the history is too short for a rate.
    pub(super) fn period(&self, now: &Sample, age: Duration, scope: &Scope) -> Option<Period> {
        let start = self.before(now.at, age)?;
        let totals = now.sum(scope) - start.sum(scope);
        let length = now.at.saturating_duration_since(start.at);
        (length >= MIN_PERIOD).then_some(Period {
            age: Duration::ZERO,
            length,
            totals,
        })
    }

    /// Returns the points of a chart over `range`, oldest first, up to `now`.
    pub(super) fn periods(&self, now: &Sample, range: Range, scope: &Scope) -> Vec<Period> {
        let tier = Tier::for_age(range.length());
        let Tier { point, .. } = TIERS[tier];
        let samples = self.0[tier].iter().map(|sample| &**sample);
        let samples: Vec<_> = samples
            .chain([now])
            .map(|sample| {
                let age = now.at.saturating_duration_since(sample.at);
                (age, sample.sum(scope))
            })
            .skip_while(|(age, _)| *age > range.length() + point + JITTER)
            .collect();
        let ends = samples.iter().enumerate().skip(1);
        let periods = ends.filter_map(|(index, (age, totals))| {
            let length = |start: Duration| start.saturating_sub(*age);
            let before = samples[..index].iter();
            let start = before
                .rev()
                .find(|(start, _)| length(*start) + JITTER >= point)
                .or(samples.first());
            let (start, earlier) = start?;
            (length(*start) >= MIN_PERIOD && *age <= range.length()).then(|| Period {
                age: *age,
                length: length(*start),
                totals: *totals - *earlier,
            })
        });
        periods.collect()
    }

    /// Returns the latencies of requests in `columns` equal parts of `range`, oldest first. Parts before the first sample
    /// are empty.
    pub(super) fn latencies(
        &self,
        now: &Sample,
        range: Range,
        scope: &Scope,
        columns: u32,
    ) -> Vec<Totals> {
        let width = range.length() / columns;
        let tier = &self.0[Tier::for_age(range.length())];
        let samples = tier.iter().map(|sample| &**sample).chain([now]);
        // The last sample before the first part, and before the end of each.
        let columns = columns as usize;
        let mut ends = vec![None; columns + 1];
        let mut first = None;
        for sample in samples {
            let age = now.at.saturating_duration_since(sample.at);
            let parts_ago = (age.as_secs_f64() / width.as_secs_f64()) as usize;
            let sum = sample.sum(scope);
            first = first.or(Some(sum));
            ends[columns.saturating_sub(parts_ago)] = Some(sum);
        }
        let mut last = first.unwrap_or_default();
        let parts = ends.into_iter().map(|end| {
            let end = end.unwrap_or(last);
            let part = end - last;
            last = end;
            part
        });
        parts.skip(1).collect()
    }
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

    fn sample(at: Instant, endpoints: &[(&str, u64)]) -> Sample {
        Sample::new(at, &counts(endpoints), Default::default())
    }

    fn of(application: &str) -> Scope {
        Scope {
            application: Some(application.into()),
            ..Scope::default()
        }
    }

    #[test]
    fn a_sample_adds_up_statuses_and_methods() {
        let sample = sample(Instant::now(), &[("/a", 20), ("/b", 1)]);
        let a = &sample.endpoints[&place("/a")];
        let Totals {
            requests,
            failed,
            latency,
        } = a.totals;
        assert_eq!((requests, failed, latency.count()), (20, 2, 20));
        let kind = |status| ("GET", Status::Code(status));
        assert_eq!(*a.kinds, [(kind(200), 18), (kind(503), 2)]);
        assert_eq!(sample.endpoints[&place("/b")].totals.requests, 1);
    }

    #[test]
    fn rates_cover_user_facing_endpoints_over_the_elapsed_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.record(sample(at(0), &[("/a", 100)]));
        history.record(sample(at(5), &[("/a", 150)]));
        let now = sample(
            at(10),
            &[("/a", 200), ("/health/live", 70), ("/metrics", 9)],
        );
        let all = Scope::default();
        for range in [Range::FiveMinutes, Range::QuarterHour] {
            let points = history.periods(&now, range, &all);
            let rates: Vec<_> = points.iter().map(Period::rate).collect();
            assert_eq!(rates, [10.0, 10.0]);
            assert_eq!(points[0].age, Duration::from_secs(5));
            assert_eq!(points[1].totals.failed, 10);
        }
        let last = history.period(&now, Duration::from_secs(4), &all).unwrap();
        assert_eq!((last.length.as_secs(), last.totals.requests), (5, 50));
        let first = history.before(now.at, Duration::from_secs(900)).unwrap();
        assert_eq!(now.since(first, &place("/a")).requests, 100);
        let health = Scope {
            endpoint: Some("/health/live".into()),
            ..Scope::default()
        };
        assert_eq!(now.sum(&health).requests, 70);
    }

    #[test]
    fn each_range_has_as_many_points_and_the_same_rate() {
        let start = Instant::now();
        let mut history = History::default();
        // One request a second for seven hours.
        let at = |seconds: u64| {
            let mut totals = Totals {
                requests: seconds,
                ..Totals::default()
            };
            totals.latency.buckets[3] = seconds;
            let counters = Counters {
                totals,
                ..Counters::default()
            };
            Sample {
                at: start + Duration::from_secs(seconds),
                endpoints: [(Arc::new(place("/a")), Arc::new(counters))].into(),
                problems: Default::default(),
            }
        };
        for tick in 0..7 * 60 * 12 {
            history.record(at(tick * INTERVAL.as_secs()));
        }
        let samples: Vec<_> = history.0.iter().map(VecDeque::len).collect();
        assert_eq!(samples, [181, 180, 180]);
        let now = at(7 * 60 * 60 - 3);
        for (range, expected) in Range::ALL.into_iter().zip([60, 180, 180, 180]) {
            let points = history.periods(&now, range, &Scope::default());
            assert!(points.len().abs_diff(expected) <= 1, "{}", points.len());
            for point in &points {
                assert_eq!(point.rate(), 1.0, "{point:?}");
            }
            let oldest = points[0].age;
            assert!(
                oldest + Duration::from_secs(240) > range.length(),
                "{oldest:?}"
            );
            let parts = history.latencies(&now, range, &Scope::default(), 30);
            let requests: u64 = parts.iter().map(|part| part.latency.count()).sum();
            let expected = range.length().as_secs();
            assert!(requests.abs_diff(expected) <= 120, "{requests} {expected}");
        }
    }

    #[test]
    fn the_history_is_bounded_in_time_endpoints_and_kinds() {
        let start = Instant::now();
        let mut history = History::default();
        for tick in 0..1000 {
            let at = start + tick * INTERVAL;
            history.record(sample(at, &[("/a", 1)]));
        }
        let ends = [0, 180].map(|index| history.0[0][index].endpoints.first_key_value().unwrap());
        assert!(Arc::ptr_eq(ends[0].0, ends[1].0) && Arc::ptr_eq(ends[0].1, ends[1].1));
        let mut all = ApplicationCounts::default();
        let many = all.of(&component());
        for index in 0..5000 {
            let endpoint = format!("/{index}");
            many.latency.insert(endpoint.clone(), Default::default());
            for status in 200..210 {
                let labels = RequestLabels {
                    endpoint: endpoint.clone(),
                    method: "GET",
                    status: Status::Code(status),
                };
                many.requests.insert(labels, 1);
            }
        }
        let busy = Sample::new(start, &all, Default::default());
        assert_eq!(busy.endpoints.len(), MAX_ENDPOINTS + 1);
        assert_eq!(busy.sum(&Scope::default()).requests, 50_000);
        let counters = busy.endpoints.values();
        let kinds: usize = counters.clone().map(|counters| counters.kinds.len()).sum();
        assert!(kinds <= MAX_KINDS + MAX_ENDPOINTS + 1, "{kinds}");
        let counted = counters.flat_map(|counters| &counters.kinds);
        assert_eq!(counted.map(|(_, count)| count).sum::<u64>(), 50_000);
        let elsewhere = sample(start, &[("/a", 7)]);
        assert_eq!(elsewhere.sum(&of("shop")).requests, 7);
        assert_eq!(elsewhere.sum(&of("blog")).requests, 0);
    }

    #[test]
    fn too_short_a_period_gives_no_rate() {
        let start = Instant::now();
        let mut history = History::default();
        history.record(sample(start, &[]));
        let now = sample(start + Duration::from_millis(10), &[("/a", 1)]);
        let all = Scope::default();
        assert!(history.periods(&now, Range::Hour, &all).is_empty());
        assert!(
            history
                .period(&now, Duration::from_secs(900), &all)
                .is_none()
        );
    }
}
