//! The series of generic OTLP metrics, and the transaction that changes them.
//!
//! A series has a number that is never used again. The journal stores it under its number, and a point whose series was
//! found before finds it by its number.

use crate::{
    Family, Identity, Labels, Point, PointValue, Target,
    tracks::{self, LegacyTracks, Report, Room},
    value::Series,
};
use foldhash::quality::RandomState;
use indexmap::IndexMap;
use metric::Kind;
use request_counts::LabelSpace;
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Bounds on generic OTLP metrics.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    /// Series per metric and length of labels.
    pub space: LabelSpace,
    /// Maximum number of metrics.
    pub max_metrics: usize,
    /// Maximum number of series of all metrics.
    pub max_series: usize,
}

impl SeriesLimits {
    /// Returns the maximum number of series of one sender, so that no sender takes the room of all others.
    fn share(&self) -> usize {
        self.max_series.div_ceil(2)
    }

    /// Returns the maximum number of tracks.
    fn tracks(&self) -> usize {
        self.max_series.saturating_mul(2)
    }
}

/// Metrics with their series, and what is remembered of their senders.
#[derive(Debug, Default)]
pub struct OtlpSeries {
    metrics: BTreeMap<String, MetricSeries>,
    /// Series by number.
    known: HashMap<u64, Box<Known>, RandomState>,
    /// Number of series of each sender, by the label `job`.
    senders: HashMap<String, usize, RandomState>,
    /// Number of tracks of all series.
    tracks: usize,
    legacy: LegacyTracks,
    last_id: u64,
    targets: BTreeMap<[String; 2], SeenTarget>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
}

/// A series with its names.
#[derive(Clone, Debug)]
pub struct Known {
    /// The names.
    pub names: Names,
    /// The series.
    pub series: Series,
}

/// The names of a series, which no other series has.
#[derive(Clone, Debug)]
pub struct Names {
    /// The metric.
    pub metric: Arc<Metric>,
    /// The labels.
    pub labels: Labels,
}

/// A series that a transaction changes.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The series.
    pub series: Series,
    /// The names of a new series. `None` if it exists: a look at its names costs an access to memory.
    pub new: Option<Names>,
}

/// The numbers of a metric's series.
#[derive(Debug)]
struct MetricSeries {
    metric: Arc<Metric>,
    ids: BTreeMap<Labels, u64>,
}

#[derive(Clone, Debug)]
struct SeenTarget {
    target: Target,
    seen: u64,
}

/// The parts of an [`OtlpSeries`] that a transaction replaces.
#[derive(Debug, Default)]
pub struct Replacement {
    /// Changed series by number, in the order of the points: series that are reported together stand together in memory.
    series: IndexMap<u64, Changed, RandomState>,
    /// Numbers of new series, by metric.
    new: HashMap<String, NewSeries, RandomState>,
    new_series: usize,
    new_metrics: usize,
    new_tracks: usize,
    new_of_senders: HashMap<String, usize, RandomState>,
    targets: HashMap<[String; 2], SeenTarget>,
}

#[derive(Debug)]
struct NewSeries {
    metric: Arc<Metric>,
    ids: HashMap<Labels, u64, RandomState>,
}

impl Replacement {
    /// Makes room for the series of `points` data points.
    pub fn reserve(&mut self, points: usize) {
        self.series.reserve(points);
    }

    /// Returns the changed series with their numbers.
    pub fn series(&self) -> impl Iterator<Item = (u64, &Changed)> {
        self.series.iter().map(|(id, changed)| (*id, changed))
    }
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
#[derive(Clone, Debug)]
pub struct Refused {
    /// The value of the label `reason`.
    pub reason: &'static str,
    identity: Arc<Identity>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { family, labels, .. } = &*self.identity;
        write!(f, "{}{labels}", family.name)
    }
}

/// Parts of an [`OtlpSeries`] that were forgotten and may be on disk.
#[derive(Debug, Default, PartialEq)]
pub struct Expired {
    /// Numbers of sums.
    pub series: Vec<u64>,
    /// Names of metrics.
    pub metrics: Vec<String>,
    /// [`crate::Stream::legacy_id`] of tracks.
    pub legacy: Vec<[u8; 16]>,
}

impl OtlpSeries {
    /// Creates a set without series, and with the tracks of a journal of schema 2.
    pub fn new(legacy: LegacyTracks) -> Self {
        Self {
            legacy,
            ..Self::default()
        }
    }

    /// Restores a committed series, in place of one with the same number or names. Returns the numbers of the series
    /// that it replaces under another number.
    pub fn restore(&mut self, id: u64, known: Known) -> Vec<u64> {
        let mut replaced = vec![];
        // A metric gets another type only after all its series were forgotten.
        let before = self.metrics.get(&known.names.metric.name);
        if before.is_some_and(|before| before.metric.kind != known.names.metric.kind) {
            let before = self.metrics.remove(&known.names.metric.name);
            replaced.extend(
                before
                    .into_iter()
                    .flat_map(|before| before.ids.into_values()),
            );
        }
        let same_names = self.metrics.get(&known.names.metric.name);
        let same_names = same_names.and_then(|metric| metric.ids.get(&known.names.labels));
        replaced.extend(same_names.filter(|other| **other != id));
        for id in &replaced {
            if let Some(known) = self.known.remove(id) {
                self.forget(&known);
            }
        }
        self.last_id = self.last_id.max(id);
        self.put(id, known);
        replaced
    }

    /// Returns a series by its number.
    pub fn get(&self, id: u64) -> Option<&Known> {
        self.known.get(&id).map(|known| &**known)
    }

    /// Returns a metric by its name.
    pub fn metric(&self, name: &str) -> Option<&Arc<Metric>> {
        self.metrics.get(name).map(|known| &known.metric)
    }

    /// Returns the metrics by name, each with its series by labels.
    pub fn metrics(
        &self,
    ) -> impl Iterator<Item = (&Metric, impl Iterator<Item = (&Labels, &Series)>)> {
        self.metrics.values().map(|MetricSeries { metric, ids }| {
            let series = ids
                .iter()
                .map(|(labels, id)| (labels, &self.known[id].series));
            (&**metric, series)
        })
    }

    /// Returns the targets, one for each `job` and `instance`.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.values().map(|seen| &seen.target)
    }

    /// Returns the number of series; a histogram counts as one.
    pub fn series(&self) -> usize {
        self.known.len()
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
        let Point {
            identity,
            start_unix_nanos,
            time_unix_nanos,
            value,
        } = point;
        let report = Report {
            stream: identity.stream,
            start_unix_nanos,
            time_unix_nanos,
            uptime,
        };
        let folded = self.fold_value(replacement, &identity, &report, value, limits);
        folded.map_err(|reason| Refused { reason, identity })
    }

    fn fold_value(
        &self,
        replacement: &mut Replacement,
        identity: &Identity,
        report: &Report,
        value: PointValue,
        limits: &SeriesLimits,
    ) -> Result<Folded, &'static str> {
        let origin = identity.family.origin;
        let room = Room {
            legacy: &self.legacy,
            is_full: self.tracks() + replacement.new_tracks >= limits.tracks(),
        };
        let id = self.find(replacement, identity)?;
        // Changed in place if the transaction has changed it before.
        if let Some(Changed { series, .. }) = id.and_then(|id| replacement.series.get_mut(&id)) {
            let tracks_before = series.tracks.len();
            let (folded, _) = series.fold(value, report, origin, room);
            let new_tracks = series.tracks.len().saturating_sub(tracks_before);
            replacement.new_tracks += new_tracks;
            return folded;
        }
        let known = id.and_then(|id| Some((id, self.known.get(&id)?)));
        let mut series = match known {
            Some((_, known)) => known.series.clone(),
            None => {
                self.check_room(replacement, identity, &value, limits)?;
                Series::new(report.uptime)
            }
        };
        let tracks_before = series.tracks.len();
        let (folded, is_changed) = series.fold(value, report, origin, room);
        // Last, so that a metric whose points were all rejected is not created.
        if is_changed {
            replacement.new_tracks += series.tracks.len().saturating_sub(tracks_before);
            let (id, new) = match known {
                Some((id, _)) => (id, None),
                None => {
                    let (id, metric) = self.number(replacement, identity);
                    let labels = identity.labels.clone();
                    (id, Some(Names { metric, labels }))
                }
            };
            replacement.series.insert(id, Changed { series, new });
        }
        folded
    }

    /// Finds the number of a series, also of one that the transaction adds.
    ///
    /// # Errors
    /// If its metric has another type.
    fn find(
        &self,
        replacement: &Replacement,
        identity: &Identity,
    ) -> Result<Option<u64>, &'static str> {
        let Identity { family, labels, .. } = identity;
        let last = identity.last_id.load(Relaxed);
        let committed = self.known.get(&last);
        let committed = committed.map(|known| &known.names);
        let names = committed.or_else(|| replacement.series.get(&last)?.new.as_ref());
        if let Some(names) = names
            && names.labels == *labels
            && names.metric.name == family.name
        {
            return if names.metric.kind == family.kind {
                Ok(Some(last))
            } else {
                Err("type")
            };
        }
        let committed = self.metrics.get(&family.name);
        let new = replacement.new.get(&family.name);
        let metric = committed.map(|metric| &metric.metric);
        let metric = metric.or_else(|| Some(&new?.metric));
        if metric.is_some_and(|metric| metric.kind != family.kind) {
            return Err("type");
        }
        let id = committed.and_then(|metric| metric.ids.get(labels));
        let id = id.or_else(|| new?.ids.get(labels)).copied();
        if let Some(id) = id {
            identity.last_id.store(id, Relaxed);
        }
        Ok(id)
    }

    /// Checks that a new series fits, and its metric if that is new, too. An end of it needs no room.
    fn check_room(
        &self,
        replacement: &Replacement,
        identity: &Identity,
        value: &PointValue,
        limits: &SeriesLimits,
    ) -> Result<(), &'static str> {
        let Family { name, kind, .. } = &*identity.family;
        let kind_of = |name: &str| {
            let committed = self.metrics.get(name).map(|known| known.metric.kind);
            committed.or_else(|| Some(replacement.new.get(name)?.metric.kind))
        };
        let in_metric = self.metrics.get(name).map_or(0, |metric| metric.ids.len())
            + replacement.new.get(name).map_or(0, |new| new.ids.len());
        if in_metric == 0 {
            if has_colliding_sample(name, *kind, kind_of) {
                return Err("type");
            }
            if self.metrics.len() + replacement.new_metrics >= limits.max_metrics {
                return Err("metrics");
            }
        }
        if *value == PointValue::End {
            return Ok(());
        }
        let all = self.known.len() + replacement.new_series;
        if in_metric >= limits.space.max_series || all >= limits.max_series {
            return Err("series");
        }
        let sender = &*identity.labels.value(SENDER);
        let of_sender = self.senders.get(sender).copied().unwrap_or_default()
            + replacement
                .new_of_senders
                .get(sender)
                .copied()
                .unwrap_or_default();
        if of_sender >= limits.share() {
            return Err("share");
        }
        Ok(())
    }

    /// Gives a new series a number.
    fn number(&self, replacement: &mut Replacement, identity: &Identity) -> (u64, Arc<Metric>) {
        let Identity { family, labels, .. } = identity;
        replacement.new_series += 1;
        let id = self.last_id + replacement.new_series as u64;
        if !replacement.new.contains_key(&family.name) {
            let committed = self.metrics.get(&family.name);
            replacement.new_metrics += usize::from(committed.is_none());
            let metric = committed.map_or_else(
                || {
                    Arc::new(Metric {
                        name: family.name.clone(),
                        kind: family.kind,
                        help: family.help.clone(),
                    })
                },
                |committed| Arc::clone(&committed.metric),
            );
            let new = NewSeries {
                metric,
                ids: HashMap::default(),
            };
            replacement.new.insert(family.name.clone(), new);
        }
        let new = replacement.new.get_mut(&family.name);
        let new = new.expect("it was inserted if it was missing");
        new.ids.insert(labels.clone(), id);
        let sender = labels.value(SENDER).into_owned();
        *replacement.new_of_senders.entry(sender).or_default() += 1;
        identity.last_id.store(id, Relaxed);
        (id, Arc::clone(&new.metric))
    }

    /// Applies `replacement`.
    pub fn replace(&mut self, replacement: Replacement) {
        for (id, Changed { series, new }) in replacement.series {
            match new {
                Some(names) => self.put(id, Known { names, series }),
                None => self.set(id, series),
            }
        }
        self.last_id += replacement.new_series as u64;
        self.targets.extend(replacement.targets);
    }

    /// Sets the value of a series that is known.
    fn set(&mut self, id: u64, series: Series) {
        if let Some(known) = self.known.get_mut(&id) {
            self.tracks -= known.series.tracks.len();
            self.tracks += series.tracks.len();
            known.series = series;
        }
    }

    /// Puts a series in place of the one with its number, or adds it.
    fn put(&mut self, id: u64, known: Known) {
        if self.known.contains_key(&id) {
            return self.set(id, known.series);
        }
        self.tracks += known.series.tracks.len();
        let metric = match self.metrics.entry(known.names.metric.name.clone()) {
            Entry::Occupied(metric) => metric.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(MetricSeries {
                metric: Arc::clone(&known.names.metric),
                ids: BTreeMap::new(),
            }),
        };
        metric.ids.insert(known.names.labels.clone(), id);
        let sender = known.names.labels.value(SENDER);
        match self.senders.get_mut(&*sender) {
            Some(count) => *count += 1,
            None => {
                self.senders.insert(sender.into_owned(), 1);
            }
        }
        self.known.insert(id, Box::new(known));
    }

    /// Forgets the names of a series. Returns the name of its metric if it was the last one.
    fn forget(&mut self, known: &Known) -> Option<String> {
        self.tracks -= known.series.tracks.len();
        let sender = &*known.names.labels.value(SENDER);
        if let Some(count) = self.senders.get_mut(sender) {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(sender);
            }
        }
        let metric = self.metrics.get_mut(&known.names.metric.name)?;
        metric.ids.remove(&known.names.labels);
        if !metric.ids.is_empty() {
            return None;
        }
        self.metrics.remove(&known.names.metric.name);
        Some(known.names.metric.name.clone())
    }

    /// Forgets what was not reported for long. A series is forgotten with its tracks: if its sender returns, it starts
    /// again with the sender's total.
    pub fn expire(&mut self, uptime: u64) -> Expired {
        let mut expired = Expired::default();
        let is_old = |seen: u64| seen + tracks::MEMORY < uptime;
        let mut forgotten_tracks = 0;
        let forgotten = self.known.extract_if(|_, known| {
            let before = known.series.tracks.len();
            let is_kept = known.series.refresh(uptime);
            forgotten_tracks += before - known.series.tracks.len();
            !is_kept
        });
        let forgotten: Vec<_> = forgotten.collect();
        self.tracks -= forgotten_tracks;
        for (id, known) in forgotten {
            expired.metrics.extend(self.forget(&known));
            if known.series.is_on_disk() {
                expired.series.push(id);
            }
        }
        let legacy = self.legacy.extract_if(.., |_, track| is_old(track.seen));
        expired.legacy.extend(legacy.map(|(id, _)| id));
        self.targets.retain(|_, target| !is_old(target.seen));
        expired
    }
}

/// The label that names a sender.
const SENDER: &str = "job";

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
    use crate::{Amount, SeriesValue, Stream, value};

    const DAY: u64 = 24 * 3600 * 1_000_000_000;
    const LIMITS: SeriesLimits = SeriesLimits {
        space: LabelSpace {
            max_series: 2,
            max_label_len: 10,
        },
        max_metrics: 2,
        max_series: 10,
    };

    fn identity(
        name: &str,
        kind: Kind,
        labels: &[(&str, &str)],
        origin: u64,
        stream: u8,
    ) -> Arc<Identity> {
        let family = Family {
            name: name.into(),
            kind,
            help: "Help.".into(),
            origin,
        };
        let stream = Stream {
            id: [stream; 16],
            legacy_id: [0; 16],
        };
        let labels = labels.iter().copied().collect();
        Arc::new(Identity::new(Arc::new(family), labels, stream))
    }

    fn point(name: &str, kind: Kind, label: &str, value: PointValue) -> Point {
        Point {
            identity: identity(name, kind, &[("l", label)], 1, 1),
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
        let id = series.metrics["n_total"].ids.values().next().unwrap();
        let series = &series.known[id].series;
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
            let other = Point {
                identity: identity("a", Kind::Counter, &[("l", "1")], 2, 1),
                ..more("a", Kind::Counter, "1")
            };
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
        assert!(replacement.series.is_empty() && replacement.new.is_empty());
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
        assert_eq!(
            (&*expired.series, &*expired.metrics),
            (&[1][..], &["n_total".to_owned()][..])
        );
        assert!(series.metrics.is_empty() && series.tracks == 0);
        let folded = fold_at(&mut series, total(DAY, 7.0), tracks::MEMORY + 2);
        assert_eq!((folded, shown(&series)), (Ok(Folded::Counted), (7.0, true)));
    }

    #[test]
    fn a_process_that_may_have_been_counted_and_forgotten_is_counted_from_now_on() {
        let mut series = OtlpSeries::default();
        let other = |time, number| Point {
            identity: identity("n_total", Kind::Counter, &[("l", "a")], 1, 2),
            ..total(time, number)
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
            let labels = [("instance", instance), ("version", version)];
            let labels = labels.into_iter().collect();
            let mut replacement = Replacement::default();
            series.fold_target(&mut replacement, Target { labels }, &LIMITS, 0);
            series.replace(replacement);
        }
        let shown: Vec<_> = series
            .targets()
            .map(|target| target.labels.value("version"))
            .collect();
        assert_eq!(shown, ["b", "a"], "two fit");
        series.expire(tracks::MEMORY + 1);
        assert_eq!(series.targets().count(), 0);
    }
    #[test]
    fn a_sender_gets_half_of_the_room_and_all_senders_no_more_than_there_is() {
        let mut series = OtlpSeries::default();
        let limits = SeriesLimits {
            space: LabelSpace {
                max_series: 10,
                ..LIMITS.space
            },
            max_series: 5,
            ..LIMITS
        };
        let mut fold = |job: &str, label: &str| {
            let identity = identity("a", Kind::Counter, &[("job", job), ("l", label)], 1, 1);
            let point = Point {
                identity,
                ..more("a", Kind::Counter, "1")
            };
            let mut replacement = Replacement::default();
            let folded = series.fold(&mut replacement, point, &limits, 0);
            series.replace(replacement);
            (folded.map_err(|refused| refused.reason), series.series())
        };
        let counted = Ok(Folded::Counted);
        for (job, label, expected) in [
            ("x", "1", (counted, 1)),
            ("x", "2", (counted, 2)),
            ("x", "3", (counted, 3)),
            ("x", "4", (Err("share"), 3)),
            ("y", "1", (counted, 4)),
            ("y", "2", (counted, 5)),
            ("y", "3", (Err("series"), 5)),
            ("x", "1", (counted, 5)),
        ] {
            assert_eq!(fold(job, label), expected, "{job} {label}");
        }
    }

    #[test]
    fn a_number_that_a_failed_transaction_gave_to_another_series_is_not_believed() {
        let mut series = OtlpSeries::default();
        let one = identity("a", Kind::Counter, &[("l", "1")], 1, 1);
        let point = |identity: &Arc<Identity>| Point {
            identity: Arc::clone(identity),
            ..more("a", Kind::Counter, "1")
        };
        let mut failed = Replacement::default();
        series.fold(&mut failed, point(&one), &LIMITS, 0).unwrap();
        drop(failed);
        fold(&mut series, more("a", Kind::Counter, "2")).unwrap();
        fold(&mut series, point(&one)).unwrap();
        let ids = &series.metrics["a"].ids;
        assert_eq!(ids.values().copied().collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_restored_series_takes_the_place_of_one_with_its_names() {
        let known = |kind, tracks: &OtlpSeries| {
            let mut known = tracks.known.values().next().unwrap().clone();
            known.names.metric = Arc::new(Metric {
                kind,
                ..(*known.names.metric).clone()
            });
            *known
        };
        let mut series = OtlpSeries::default();
        fold(&mut series, more("a", Kind::Counter, "1")).unwrap();
        let same = known(Kind::Counter, &series);
        assert!(series.restore(1, same.clone()).is_empty());
        assert_eq!(series.restore(7, same), [1]);
        let other = known(Kind::Gauge, &series);
        assert_eq!(series.restore(8, other), [7]);
        assert_eq!(
            (series.series(), series.tracks, series.senders[""]),
            (1, 0, 1)
        );
        fold(&mut series, more("a", Kind::Gauge, "2")).unwrap();
        assert!(series.known.contains_key(&9), "numbers go on");
    }
}
