//! Metrics of other senders, folded as OpenTelemetry's data model says: deltas are added, totals are compared with
//! the last of the same sender. Pure.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums>

use crate::{Amount, Family, Labels, Point, PointValue, StreamId};
use metric::Kind;
use request_counts::LabelSpace;
use std::collections::{BTreeMap, HashMap};

/// Senders' series whose last total is remembered.
const MAX_STREAMS: usize = 100_000;
/// How long a total is remembered, in seconds that the host is up. A sender that is not known and began earlier may
/// have been counted before: it is taken up from where it stands.
const STREAM_MEMORY: u64 = 24 * 3600;
/// How long a gauge is shown after its last report, in seconds: as long as Prometheus shows one that is gone.
const GAUGE_MEMORY: u64 = 300;

/// Bounds on the metrics of other senders.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    /// Series of each metric, and the length of a label.
    pub space: LabelSpace,
    /// Metrics.
    pub max_metrics: usize,
}

/// Every metric with its series.
#[derive(Debug, Default)]
pub struct OtlpSeries {
    metrics: BTreeMap<String, MetricSeries>,
    streams: HashMap<StreamId, Stream>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
    /// Its series.
    pub series: BTreeMap<Labels, SeriesValue>,
}

/// What a series shows.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    /// What was added up; survives a restart.
    Sum(Amount),
    /// What a gauge was last; a restart waits for its next report.
    Now {
        /// Its value.
        value: f64,
        /// When it was measured, in nanoseconds since the Unix epoch.
        time_unix_nanos: u64,
        /// When it was reported, in seconds that the host was up.
        seen: u64,
    },
}

/// The last total of one sender's series.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Start of the stream, in nanoseconds since the Unix epoch; 0 if the sender does not say.
    pub start_unix_nanos: u64,
    /// Time of the total, in nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// The total.
    pub total: Amount,
    /// Time of its report, in seconds that the host was up.
    pub seen: u64,
}

/// Parts of an [`OtlpSeries`] that a transaction replaces. Unordered: a group of batches looks up the same series
/// again and again.
#[derive(Debug, Default)]
pub struct Replacement {
    /// Metrics by name.
    pub metrics: HashMap<String, ReplacedMetric>,
    /// Streams that reported a total.
    pub streams: HashMap<StreamId, Stream>,
}

/// Series of a metric that are replaced.
#[derive(Debug)]
pub struct ReplacedMetric {
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
    /// Series with their new values.
    pub series: HashMap<Labels, SeriesValue>,
    /// Those among them that were not there before.
    new: usize,
}

impl OtlpSeries {
    /// Returns the metrics in order of their names.
    pub fn metrics(&self) -> &BTreeMap<String, MetricSeries> {
        &self.metrics
    }

    /// Returns how many series there are, a histogram counting as one.
    pub fn series(&self) -> usize {
        self.metrics
            .values()
            .map(|metric| metric.series.len())
            .sum()
    }

    /// Returns of how many senders' series the last total is remembered.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Folds `point` into what `replacement` makes of this. `uptime` is in seconds.
    ///
    /// # Errors
    /// If there is no room for it, or it is of another type than its metric; the value of the label `reason`.
    pub fn fold(
        &self,
        replacement: &mut Replacement,
        point: Point,
        limits: &SeriesLimits,
        uptime: u64,
    ) -> Result<(), &'static str> {
        let Point {
            family,
            labels,
            time_unix_nanos,
            value,
        } = point;
        self.check_family(replacement, &family, limits)?;
        let committed = self.metrics.get(&family.name);
        let replaced = replacement.metrics.get(&family.name);
        let before = replaced
            .and_then(|metric| metric.series.get(&labels))
            .or_else(|| committed?.series.get(&labels));
        let new = before.is_none();
        let series = committed.map_or(0, |metric| metric.series.len())
            + replaced.map_or(0, |metric| metric.new);
        if new && series >= limits.space.max_series {
            return Err("series");
        }
        let is_late = |known: &SeriesValue| matches!(known, SeriesValue::Now { time_unix_nanos: known, .. } if *known > time_unix_nanos);
        let after = match value {
            PointValue::Now(_) if before.is_some_and(is_late) => return Ok(()),
            PointValue::Now(value) => SeriesValue::Now {
                value,
                time_unix_nanos,
                seen: uptime,
            },
            PointValue::More(amount) => add(before.cloned(), &amount),
            PointValue::Total {
                stream,
                start_unix_nanos,
                amount,
            } => {
                let now = Stream {
                    start_unix_nanos,
                    time_unix_nanos,
                    total: amount,
                    seen: uptime,
                };
                let streams = &mut replacement.streams;
                let known = streams.get(&stream).or_else(|| self.streams.get(&stream));
                if known.is_none() && self.streams.len() + streams.len() >= MAX_STREAMS {
                    return Err("streams");
                }
                let Some(gain) = gain(known, &now) else {
                    return Ok(());
                };
                streams.insert(stream, now);
                add(before.cloned(), &gain)
            }
        };
        // Last, so that a metric whose points were all rejected is not created.
        let metric = replacement.metric(&family);
        metric.new += usize::from(new);
        metric.series.insert(labels, after);
        Ok(())
    }

    /// Checks that `family` is of the type it was, or that there is room for it.
    fn check_family(
        &self,
        replacement: &Replacement,
        family: &Family,
        limits: &SeriesLimits,
    ) -> Result<(), &'static str> {
        let committed = self.metrics.get(&family.name).map(|metric| metric.kind);
        let replaced = || Some(replacement.metrics.get(&family.name)?.kind);
        match committed.or_else(replaced) {
            Some(kind) if kind == family.kind => Ok(()),
            Some(_) => Err("type"),
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

    /// Puts `replacement` in place.
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
            metric.series.extend(series);
        }
        self.streams.extend(replacement.streams);
    }

    /// Forgets what has not been reported for long; returns the streams among it.
    pub fn expire(&mut self, uptime: u64) -> Vec<StreamId> {
        for metric in self.metrics.values_mut() {
            metric.series.retain(|_, value| match value {
                SeriesValue::Sum(_) => true,
                SeriesValue::Now { seen, .. } => *seen + GAUGE_MEMORY > uptime,
            });
        }
        self.metrics.retain(|_, metric| !metric.series.is_empty());
        let expired = self
            .streams
            .extract_if(|_, stream| stream.seen + STREAM_MEMORY < uptime);
        expired.map(|(id, _)| id).collect()
    }
}

impl Replacement {
    fn metric(&mut self, family: &Family) -> &mut ReplacedMetric {
        // A name is copied only where it is new.
        if !self.metrics.contains_key(&family.name) {
            let metric = ReplacedMetric {
                kind: family.kind,
                help: family.help.clone(),
                series: HashMap::new(),
                new: 0,
            };
            self.metrics.insert(family.name.clone(), metric);
        }
        self.metrics
            .get_mut(&family.name)
            .expect("it was inserted where it was missing")
    }
}

/// Returns what `now` has more than what is `known` of the same sender; `None` if it is late and says nothing new.
fn gain(known: Option<&Stream>, now: &Stream) -> Option<Amount> {
    let Some(known) = known else {
        let running = now.time_unix_nanos.saturating_sub(now.start_unix_nanos);
        let long_known = now.start_unix_nanos > 0 && running > STREAM_MEMORY * 1_000_000_000;
        return Some(if long_known {
            nothing(&now.total)
        } else {
            now.total.clone()
        });
    };
    let starts = (known.start_unix_nanos, now.start_unix_nanos);
    let same_start = starts.0 == starts.1 || starts.0 == 0 || starts.1 == 0;
    if now.time_unix_nanos < known.time_unix_nanos || !same_start && starts.1 < starts.0 {
        return None;
    }
    let since = match (&known.total, &now.total) {
        (Amount::Number(then), Amount::Number(now)) if now >= then => {
            Some(Amount::Number(now - then))
        }
        (Amount::Histogram(then), Amount::Histogram(now)) => now.since(then).map(Amount::Histogram),
        _ => None,
    };
    // A total that went down was begun anew, even where its sender does not say when.
    Some(
        since
            .filter(|_| same_start)
            .unwrap_or_else(|| now.total.clone()),
    )
}

fn nothing(total: &Amount) -> Amount {
    match total {
        Amount::Number(_) => Amount::Number(0.0),
        Amount::Histogram(buckets) => {
            let mut nothing = buckets.clone();
            nothing.counts.fill(0);
            nothing.sum = 0.0;
            Amount::Histogram(nothing)
        }
    }
}

fn add(series: Option<SeriesValue>, gain: &Amount) -> SeriesValue {
    SeriesValue::Sum(match (series, gain) {
        (Some(SeriesValue::Sum(Amount::Number(sum))), Amount::Number(gain)) => {
            Amount::Number((sum + gain).clamp(f64::MIN, f64::MAX))
        }
        (Some(SeriesValue::Sum(Amount::Histogram(mut sum))), Amount::Histogram(gain)) => {
            sum.merge(gain);
            Amount::Histogram(sum)
        }
        // A metric has one type, so this is the first, or a gauge that becomes a sum of deltas.
        (_, gain) => gain.clone(),
    })
}

impl OtlpSeries {
    /// Takes up what was committed earlier.
    pub fn restore(
        metrics: BTreeMap<String, MetricSeries>,
        streams: HashMap<StreamId, Stream>,
    ) -> Self {
        Self { metrics, streams }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buckets;
    use std::sync::Arc;

    const LIMITS: SeriesLimits = SeriesLimits {
        space: LabelSpace {
            max_series: 2,
            max_label_len: 10,
        },
        max_metrics: 2,
    };

    fn point(name: &str, kind: Kind, label: &str, time: u64, value: PointValue) -> Point {
        Point {
            family: Arc::new(Family {
                name: name.into(),
                kind,
                help: "Help.".into(),
            }),
            labels: vec![("l".into(), label.into())],
            time_unix_nanos: time,
            value,
        }
    }

    fn total(stream: u8, start: u64, time: u64, amount: Amount) -> Point {
        let value = PointValue::Total {
            stream: [stream; 16],
            start_unix_nanos: start,
            amount,
        };
        point("n_total", Kind::Counter, "a", time, value)
    }

    fn fold(series: &mut OtlpSeries, point: Point) -> Result<(), &'static str> {
        let mut replacement = Replacement::default();
        let folded = series.fold(&mut replacement, point, &LIMITS, 0);
        series.replace(replacement);
        folded
    }

    fn sum(series: &OtlpSeries) -> f64 {
        match series.metrics["n_total"].series.values().next() {
            Some(SeriesValue::Sum(Amount::Number(sum))) => *sum,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn totals_of_several_senders_are_added_through_their_restarts() {
        let mut series = OtlpSeries::default();
        for (sender, start, time, number, expected) in [
            (1, 10, 11, 5.0, 5.0),
            (1, 10, 12, 7.0, 7.0),
            (2, 10, 12, 100.0, 107.0),
            (1, 10, 12, 7.0, 107.0),  // the same again
            (1, 10, 11, 5.0, 107.0),  // late
            (1, 20, 21, 3.0, 110.0),  // restarted, and says so
            (1, 10, 22, 8.0, 110.0),  // of before the restart
            (1, 20, 23, 1.0, 111.0),  // went down
            (2, 0, 13, 101.0, 112.0), // says no more when it started
            (3, 1, 2 + 25 * 3600 * 1_000_000_000, 1e9, 112.0), // may have been counted long ago
            (3, 1, 3 + 25 * 3600 * 1_000_000_000, 1e9 + 1.0, 113.0),
        ] {
            fold(
                &mut series,
                total(sender, start, time, Amount::Number(number)),
            )
            .unwrap();
            assert_eq!(sum(&series), expected, "sender {sender} at {time}");
        }
    }

    #[test]
    fn deltas_and_histograms_are_added() {
        let buckets = |counts: &[u64], sum| {
            Amount::Histogram(Buckets::new(vec![1.0], counts.to_vec(), sum).unwrap())
        };
        let mut series = OtlpSeries::default();
        let histogram = |value| point("h", Kind::Histogram, "a", 1, value);
        fold(
            &mut series,
            histogram(PointValue::More(buckets(&[1, 2], 9.0))),
        )
        .unwrap();
        fold(
            &mut series,
            histogram(PointValue::More(buckets(&[1, 0], 1.0))),
        )
        .unwrap();
        let cumulative = |counts: &[u64], sum| PointValue::Total {
            stream: [0; 16],
            start_unix_nanos: 1,
            amount: buckets(counts, sum),
        };
        fold(&mut series, histogram(cumulative(&[5, 5], 10.0))).unwrap();
        fold(&mut series, histogram(cumulative(&[6, 5], 10.5))).unwrap();
        let shown = series.metrics["h"].series.values().next();
        assert_eq!(shown, Some(&SeriesValue::Sum(buckets(&[8, 7], 20.5))));
    }

    #[test]
    fn what_has_no_room_is_named() {
        let mut series = OtlpSeries::default();
        let more =
            |name, kind, label| point(name, kind, label, 1, PointValue::More(Amount::Number(1.0)));
        assert_eq!(fold(&mut series, more("a", Kind::Counter, "1")), Ok(()));
        assert_eq!(fold(&mut series, more("a", Kind::Counter, "2")), Ok(()));
        assert_eq!(
            fold(&mut series, more("a", Kind::Counter, "3")),
            Err("series")
        );
        assert_eq!(fold(&mut series, more("a", Kind::Counter, "2")), Ok(()));
        assert_eq!(fold(&mut series, more("a", Kind::Gauge, "2")), Err("type"));
        assert_eq!(fold(&mut series, more("b", Kind::Gauge, "2")), Ok(()));
        assert_eq!(
            fold(&mut series, more("c", Kind::Gauge, "2")),
            Err("metrics")
        );
        // In one change as in several.
        let mut replacement = Replacement::default();
        for label in ["2", "3", "4"] {
            let folded = series.fold(&mut replacement, more("b", Kind::Gauge, label), &LIMITS, 0);
            assert_eq!(folded.is_ok(), label != "4");
        }
    }

    #[test]
    fn a_metric_of_which_every_point_is_refused_is_none() {
        let mut limits = LIMITS;
        limits.space.max_series = 0;
        let mut replacement = Replacement::default();
        let more = PointValue::More(Amount::Number(1.0));
        let point = point("a", Kind::Counter, "1", 1, more);
        let folded = OtlpSeries::default().fold(&mut replacement, point, &limits, 0);
        assert_eq!(folded, Err("series"));
        assert!(replacement.metrics.is_empty());
    }

    #[test]
    fn a_gauge_shows_the_latest_until_it_is_forgotten() {
        let mut series = OtlpSeries::default();
        let gauge = |time, value| point("g", Kind::Gauge, "a", time, PointValue::Now(value));
        fold(&mut series, gauge(5, 1.0)).unwrap();
        fold(&mut series, gauge(4, 2.0)).unwrap();
        let shown = series.metrics["g"].series.values().next();
        assert!(matches!(shown, Some(SeriesValue::Now { value: 1.0, .. })));
        fold(&mut series, total(1, 1, 1, Amount::Number(1.0))).unwrap();
        assert!(series.expire(GAUGE_MEMORY + 1).is_empty());
        assert_eq!(series.series(), 1);
        assert_eq!(series.expire(STREAM_MEMORY + 1), [[1; 16]]);
        assert_eq!((series.series(), series.streams()), (1, 0));
    }
}
