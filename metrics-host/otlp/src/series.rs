//! The series of generic OTLP metrics, and the transaction that changes them.

use crate::{
    Family, Labels, Point, PointValue, Target,
    tracks::{self, LegacyTracks, Report, Room},
    value::{NO_RECORDED_VALUE, Series, SeriesValue, Update},
};
use foldhash::quality::RandomState;
use metric::Kind;
use request_counts::LabelSpace;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

/// Bounds on generic OTLP metrics.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    /// Series per metric and length of labels.
    pub space: LabelSpace,
    /// Maximum number of metrics.
    pub max_metrics: usize,
}

/// Metrics with their series, and what is remembered of their senders.
#[derive(Debug, Default)]
pub struct OtlpSeries {
    metrics: BTreeMap<String, MetricSeries>,
    /// Number of tracks of all series.
    tracks: usize,
    legacy: LegacyTracks,
    next_id: u64,
    targets: BTreeMap<[String; 2], SeenTarget>,
}

/// A metric and its series.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
    /// Series by labels.
    pub series: BTreeMap<Labels, Series>,
}

#[derive(Clone, Debug)]
struct SeenTarget {
    target: Target,
    seen: u64,
}

/// The parts of an [`OtlpSeries`] that a transaction replaces. Hash maps, because a transaction looks up the same
/// series again and again.
#[derive(Debug, Default)]
pub struct Replacement {
    /// Metrics by name.
    pub metrics: HashMap<String, ReplacedMetric, RandomState>,
    new_series: u64,
    new_tracks: usize,
    targets: HashMap<[String; 2], SeenTarget>,
}

/// The replaced series of a metric.
#[derive(Debug)]
pub struct ReplacedMetric {
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
    /// Changed series.
    pub series: HashMap<Labels, Series, RandomState>,
    /// Number of series that are new.
    pub new: usize,
}

/// The result of a point that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// A series contains it.
    Counted,
    /// It changes no series, for a reason.
    Skipped(&'static str),
}

/// A point that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The value of the label `reason`.
    pub reason: &'static str,
    family: Arc<Family>,
    labels: Labels,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.family.name)?;
        for (index, (name, value)) in self.labels.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if index == 0 { '{' } else { ',' })?;
        }
        f.write_str(if self.labels.is_empty() { "" } else { "}" })
    }
}

/// Parts of an [`OtlpSeries`] that were forgotten and may be on disk.
#[derive(Debug, Default, PartialEq)]
pub struct Expired {
    /// [`Series::id`] of sums.
    pub series: Vec<u64>,
    /// [`crate::Stream::legacy_id`] of tracks.
    pub legacy: Vec<[u8; 16]>,
}

impl OtlpSeries {
    /// Restores the committed metrics and tracks.
    pub fn restore(metrics: BTreeMap<String, MetricSeries>, legacy: LegacyTracks) -> Self {
        let mut restored = Self {
            metrics,
            legacy,
            ..Self::default()
        };
        let last_id = restored.all().map(|series| series.id).max();
        restored.next_id = last_id.map_or(0, |last| last + 1);
        restored.tracks = restored.all().map(|series| series.tracks.len()).sum();
        restored
    }

    fn all(&self) -> impl Iterator<Item = &Series> {
        let metrics = self.metrics.values();
        metrics.flat_map(|metric| metric.series.values())
    }

    /// Returns the metrics by name.
    pub fn metrics(&self) -> &BTreeMap<String, MetricSeries> {
        &self.metrics
    }

    /// Returns the targets, one for each `job` and `instance`.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.values().map(|seen| &seen.target)
    }

    /// Returns the number of series; a histogram counts as one.
    pub fn series(&self) -> usize {
        self.metrics
            .values()
            .map(|metric| metric.series.len())
            .sum()
    }

    /// Returns the number of tracks.
    pub fn tracks(&self) -> usize {
        self.tracks + self.legacy.len()
    }

    /// Folds `target` into `replacement`.
    pub fn fold_target(
        &self,
        replacement: &mut Replacement,
        target: Target,
        limits: &SeriesLimits,
        uptime: u64,
    ) {
        let key = target.key();
        let known = self.targets.len() + replacement.targets.len();
        if known < limits.space.max_series || self.targets.contains_key(&key) {
            let seen = SeenTarget {
                target,
                seen: uptime,
            };
            replacement.targets.insert(key, seen);
        }
    }

    /// Folds `point` into `replacement`, on top of the committed series. `uptime` is in seconds.
    ///
    /// # Errors
    /// If the point does not fit or contradicts an earlier one.
    pub fn fold(
        &self,
        replacement: &mut Replacement,
        point: Point,
        limits: &SeriesLimits,
        uptime: u64,
    ) -> Result<Folded, Refused> {
        let report = Report {
            stream: point.stream,
            start_unix_nanos: point.start_unix_nanos,
            time_unix_nanos: point.time_unix_nanos,
            uptime,
        };
        let Point {
            family,
            labels,
            value,
            ..
        } = point;
        let refused = |reason, labels| Refused {
            reason,
            family: Arc::clone(&family),
            labels,
        };
        let committed = self.metrics.get(&family.name);
        if let Err(reason) = self.check_family(replacement, committed, &family, limits) {
            return Err(refused(reason, labels));
        }
        let replaced = replacement.metrics.get_mut(&family.name);
        let in_metric = committed.map_or(0, |metric| metric.series.len())
            + replaced.as_ref().map_or(0, |metric| metric.new);
        // Moved out and in again: a histogram is not copied.
        let replaced = replaced.and_then(|metric| metric.series.remove(&labels));
        let is_replaced = replaced.is_some();
        let known = replaced.or_else(|| committed?.series.get(&labels).cloned());
        let is_new = known.is_none();
        let is_end = value == PointValue::End;
        if is_new && !is_end && in_metric >= limits.space.max_series {
            return Err(refused("series", labels));
        }
        let new_id = self.next_id + replacement.new_series;
        let mut series = known.unwrap_or_else(|| Series::new(new_id, uptime));
        let tracks_before = series.tracks.len();
        let tracks = self.tracks() + replacement.new_tracks;
        let room = Room {
            legacy: &self.legacy,
            is_full: tracks >= tracks::MAX_TRACKS,
        };
        let update = series.update(value, &report, family.origin, room);
        let result = match update {
            Ok(Update::Nothing(reason)) => Ok(Folded::Skipped(reason)),
            Ok(Update::Forgotten) => Err("forgotten"),
            Ok(_) if is_end => Ok(Folded::Skipped(NO_RECORDED_VALUE)),
            Ok(_) => Ok(Folded::Counted),
            Err(reason) => Err(reason),
        };
        let result = result.map_err(|reason| refused(reason, labels.clone()));
        let update = update
            .ok()
            .filter(|update| !matches!(update, Update::Nothing(_)));
        let is_changed = update.is_some();
        if let Some(update) = update {
            series.apply(update, family.origin, uptime);
        }
        // Last, so that a metric whose points were all rejected is not created.
        if is_changed || is_replaced {
            replacement.new_tracks += series.tracks.len().saturating_sub(tracks_before);
            replacement.new_series += u64::from(is_new);
            let metric = ReplacedMetric::of(&mut replacement.metrics, &family);
            metric.new += usize::from(is_new);
            metric.series.insert(labels, series);
        }
        result
    }

    /// Checks that a known metric keeps its type and that a new one fits.
    fn check_family(
        &self,
        replacement: &Replacement,
        committed: Option<&MetricSeries>,
        family: &Family,
        limits: &SeriesLimits,
    ) -> Result<(), &'static str> {
        if committed.is_some_and(|metric| metric.kind == family.kind) {
            return Ok(());
        }
        let kind_of = |name: &str| {
            let committed = self.metrics.get(name).map(|metric| metric.kind);
            committed.or_else(|| Some(replacement.metrics.get(name)?.kind))
        };
        match kind_of(&family.name) {
            Some(kind) if kind == family.kind => Ok(()),
            Some(_) => Err("type"),
            None if has_colliding_sample(&family.name, family.kind, kind_of) => Err("type"),
            None => {
                let new = replacement.metrics.keys();
                let new = new.filter(|name| !self.metrics.contains_key(*name)).count();
                if self.metrics.len() + new < limits.max_metrics {
                    Ok(())
                } else {
                    Err("metrics")
                }
            }
        }
    }

    /// Applies `replacement`.
    pub fn replace(&mut self, replacement: Replacement) {
        for (name, replaced) in replacement.metrics {
            let ReplacedMetric {
                kind, help, series, ..
            } = replaced;
            let metric = self.metrics.entry(name).or_insert(MetricSeries {
                kind,
                help,
                series: BTreeMap::new(),
            });
            for (labels, series) in series {
                self.tracks += series.tracks.len();
                let before = metric.series.insert(labels, series);
                self.tracks -= before.map_or(0, |before| before.tracks.len());
            }
        }
        self.next_id += replacement.new_series;
        self.targets.extend(replacement.targets);
    }

    /// Forgets what was not reported for long. A series is forgotten with its tracks: if its sender returns, it starts
    /// again with the sender's total.
    pub fn expire(&mut self, uptime: u64) -> Expired {
        let mut expired = Expired::default();
        let is_old = |seen: u64| seen + tracks::MEMORY < uptime;
        for metric in self.metrics.values_mut() {
            let forgotten = metric
                .series
                .extract_if(.., |_, series| !series.refresh(uptime));
            let on_disk =
                forgotten.filter(|(_, series)| matches!(series.value, SeriesValue::Sum(_)));
            expired.series.extend(on_disk.map(|(_, series)| series.id));
        }
        self.metrics.retain(|_, metric| !metric.series.is_empty());
        let legacy = self.legacy.extract_if(.., |_, track| is_old(track.seen));
        expired.legacy.extend(legacy.map(|(id, _)| id));
        self.tracks = self.all().map(|series| series.tracks.len()).sum();
        self.targets.retain(|_, target| !is_old(target.seen));
        expired
    }
}

impl ReplacedMetric {
    fn of<'a>(
        metrics: &'a mut HashMap<String, Self, RandomState>,
        family: &Family,
    ) -> &'a mut Self {
        // Looks the name up first, so that only a new one is copied.
        if !metrics.contains_key(&family.name) {
            let metric = Self {
                kind: family.kind,
                help: family.help.clone(),
                series: HashMap::default(),
                new: 0,
            };
            metrics.insert(family.name.clone(), metric);
        }
        metrics
            .get_mut(&family.name)
            .expect("it was inserted if it was missing")
    }
}

/// Returns the suffixes of a metric's samples other than its name.
fn sample_suffixes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Histogram => &["_bucket", "_sum", "_count"],
        Kind::Summary => &["_sum", "_count"],
        Kind::Counter | Kind::Gauge | Kind::Untyped => &[],
    }
}

/// Returns whether a sample of a new metric would have the name of another metric's sample, such as `h_count` beside
/// the histogram `h`.
fn has_colliding_sample(name: &str, kind: Kind, kind_of: impl Fn(&str) -> Option<Kind>) -> bool {
    let mut own = sample_suffixes(kind).iter();
    let mut all = sample_suffixes(Kind::Histogram).iter();
    own.any(|suffix| kind_of(&format!("{name}{suffix}")).is_some())
        || all.any(|suffix| {
            let stem = name.strip_suffix(suffix);
            let kind = stem.and_then(&kind_of);
            kind.is_some_and(|kind| sample_suffixes(kind).contains(suffix))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amount, Stream, value};

    const DAY: u64 = 24 * 3600 * 1_000_000_000;
    const LIMITS: SeriesLimits = SeriesLimits {
        space: LabelSpace {
            max_series: 2,
            max_label_len: 10,
        },
        max_metrics: 2,
    };

    fn point(name: &str, kind: Kind, label: &str, value: PointValue) -> Point {
        Point {
            family: Arc::new(Family {
                name: name.into(),
                kind,
                help: "Help.".into(),
                origin: 1,
            }),
            labels: vec![("l".into(), label.into())],
            stream: Stream {
                id: [1; 16],
                legacy_id: [0; 16],
            },
            start_unix_nanos: 1,
            time_unix_nanos: 0,
            value,
        }
    }

    fn more(name: &str, kind: Kind, label: &str) -> Point {
        point(name, kind, label, PointValue::More(Amount::Number(1.0)))
    }

    fn total(time: u64, number: f64) -> Point {
        Point {
            time_unix_nanos: time,
            ..point(
                "n_total",
                Kind::Counter,
                "a",
                PointValue::Total(Amount::Number(number)),
            )
        }
    }

    fn fold_at(series: &mut OtlpSeries, point: Point, uptime: u64) -> Result<Folded, &'static str> {
        let mut replacement = Replacement::default();
        let folded = series.fold(&mut replacement, point, &LIMITS, uptime);
        series.replace(replacement);
        folded.map_err(|refused| refused.reason)
    }

    fn fold(series: &mut OtlpSeries, point: Point) -> Result<Folded, &'static str> {
        fold_at(series, point, 0)
    }

    fn shown(series: &OtlpSeries) -> (f64, bool) {
        let series = series.metrics["n_total"].series.values().next().unwrap();
        match &series.value {
            SeriesValue::Sum(sum) => match sum.amount {
                Amount::Number(number) => (number, !series.ended),
                Amount::Histogram(_) => panic!("{sum:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_point_that_does_not_fit_is_refused_with_its_reason() {
        let mut series = OtlpSeries::default();
        let counted = Ok(Folded::Counted);
        for (name, kind, label, expected) in [
            ("a", Kind::Counter, "1", counted),
            ("a", Kind::Counter, "2", counted),
            ("a", Kind::Counter, "3", Err("series")),
            ("a", Kind::Counter, "2", counted),
            ("a", Kind::Gauge, "2", Err("type")),
            ("b", Kind::Gauge, "2", counted),
            ("c", Kind::Gauge, "2", Err("metrics")),
        ] {
            let folded = fold(&mut series, more(name, kind, label));
            assert_eq!(folded, expected, "{name} {label}");
        }
        // The limits hold within one transaction, too.
        let mut replacement = Replacement::default();
        for label in ["2", "3", "4"] {
            let more = more("b", Kind::Gauge, label);
            let folded = series.fold(&mut replacement, more, &LIMITS, 0);
            assert_eq!(folded.is_ok(), label != "4");
        }
    }

    #[test]
    fn no_two_metrics_have_samples_of_the_same_name() {
        use Kind::{Counter, Gauge, Histogram, Summary};
        for ((first, first_kind), (second, second_kind), is_taken) in [
            (("h", Histogram), ("h_count", Gauge), true),
            (("h_sum", Gauge), ("h", Histogram), true),
            (("h_bucket", Counter), ("h", Histogram), true),
            (("h", Histogram), ("h_count", Histogram), true),
            (("s", Summary), ("s_count", Gauge), true),
            (("s", Summary), ("s_bucket", Gauge), false),
            (("g", Gauge), ("g_count", Gauge), false),
            (("x_total", Counter), ("x_total", Gauge), true),
        ] {
            let mut series = OtlpSeries::default();
            fold(&mut series, more(first, first_kind, "a")).unwrap();
            let folded = fold(&mut series, more(second, second_kind, "a"));
            assert_eq!(folded == Err("type"), is_taken, "{first}, {second}");
        }
    }

    #[test]
    fn a_series_belongs_to_one_metric_at_a_time() {
        let mut series = OtlpSeries::default();
        let other = |uptime: u64| {
            let mut other = more("a", Kind::Counter, "1");
            Arc::get_mut(&mut other.family).unwrap().origin = 2;
            (other, uptime)
        };
        fold(&mut series, more("a", Kind::Counter, "1")).unwrap();
        let (point, uptime) = other(value::ORIGIN_MEMORY - 1);
        assert_eq!(fold_at(&mut series, point, uptime), Err("collision"));
        let (point, uptime) = other(value::ORIGIN_MEMORY);
        assert_eq!(fold_at(&mut series, point, uptime), Ok(Folded::Counted));
    }

    #[test]
    fn a_metric_whose_points_are_all_refused_is_not_created() {
        let mut limits = LIMITS;
        limits.space.max_series = 0;
        let mut replacement = Replacement::default();
        let point = more("a", Kind::Counter, "1");
        let folded = OtlpSeries::default().fold(&mut replacement, point, &limits, 0);
        let refused = folded.unwrap_err();
        assert_eq!(
            (refused.reason, &*refused.to_string()),
            ("series", "a{l=\"1\"}")
        );
        assert!(replacement.metrics.is_empty());
    }

    #[test]
    fn a_series_ends_until_its_sender_returns() {
        let mut series = OtlpSeries::default();
        let end = || point("n_total", Kind::Counter, "a", PointValue::End);
        let skipped = Ok(Folded::Skipped("no_recorded_value"));
        assert_eq!(fold(&mut series, end()), skipped);
        assert!(series.metrics.is_empty());
        fold(&mut series, total(2, 5.0)).unwrap();
        assert_eq!(fold(&mut series, end()), skipped);
        assert_eq!(shown(&series), (5.0, false));
        fold(&mut series, total(3, 6.0)).unwrap();
        assert_eq!(shown(&series), (6.0, true));
    }

    #[test]
    fn a_series_is_forgotten_with_its_tracks_and_starts_again_with_the_whole_total() {
        let mut series = OtlpSeries::default();
        fold(&mut series, total(2, 5.0)).unwrap();
        assert_eq!(series.expire(tracks::MEMORY), Expired::default());
        let expired = series.expire(tracks::MEMORY + 1);
        assert_eq!(expired.series, [0]);
        assert!(series.metrics.is_empty() && series.tracks == 0);
        let folded = fold_at(&mut series, total(DAY, 7.0), tracks::MEMORY + 2);
        assert_eq!((folded, shown(&series)), (Ok(Folded::Counted), (7.0, true)));
    }

    #[test]
    fn a_process_that_may_have_been_counted_and_forgotten_is_counted_from_now_on() {
        let mut series = OtlpSeries::default();
        let other = |time, number| {
            let mut other = total(time, number);
            other.stream.id = [2; 16];
            other
        };
        let counted = |sum| (Ok(Folded::Counted), (sum, true));
        // A young series has forgotten nothing.
        let mut fold_at = |point, uptime| {
            let folded = fold_at(&mut series, point, uptime);
            series.expire(uptime);
            (folded, shown(&series))
        };
        assert_eq!(fold_at(total(9 * DAY, 5.0), 0), counted(5.0));
        assert_eq!(fold_at(other(9 * DAY, 2.0), 1), counted(7.0));
        for uptime in [tracks::MEMORY, tracks::MEMORY + 2] {
            let total = total(9 * DAY + uptime, 5.0);
            assert_eq!(fold_at(total, uptime), counted(7.0));
        }
        let returned = fold_at(other(10 * DAY, 3.0), tracks::MEMORY + 3);
        assert_eq!(returned, (Err("forgotten"), (7.0, true)));
        let went_on = fold_at(other(10 * DAY + 1, 4.0), tracks::MEMORY + 4);
        assert_eq!(went_on, counted(8.0));
    }

    #[test]
    fn there_is_one_target_for_each_instance() {
        let mut series = OtlpSeries::default();
        for (instance, version) in [("1", "a"), ("1", "b"), ("2", "a"), ("3", "a")] {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let labels = vec![pair("instance", instance), pair("version", version)];
            let mut replacement = Replacement::default();
            series.fold_target(&mut replacement, Target { labels }, &LIMITS, 0);
            series.replace(replacement);
        }
        let shown: Vec<_> = series
            .targets()
            .map(|target| &*target.labels[1].1)
            .collect();
        assert_eq!(shown, ["b", "a"], "two fit");
        series.expire(tracks::MEMORY + 1);
        assert_eq!(series.targets().count(), 0);
    }
}
