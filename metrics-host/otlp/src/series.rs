//! Series of generic OTLP metrics, folded by the rules of OpenTelemetry's data model: a delta is added, a cumulative
//! total adds its increase since the last total of the same stream.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums>

use crate::{Amount, Family, Labels, Point, PointValue, StreamId};
use metric::Kind;
use request_counts::LabelSpace;
use std::collections::{BTreeMap, HashMap};

/// Maximum number of streams whose last total is remembered.
const MAX_STREAMS: usize = 100_000;
/// Time for which a stream's last total is remembered, in seconds of the host's uptime. An unknown stream that started
/// longer ago may be a forgotten one, so its first total adds nothing.
const STREAM_MEMORY: u64 = 24 * 3600;
/// Time for which a gauge is shown after its last report, in seconds; the same as Prometheus' staleness.
const GAUGE_MEMORY: u64 = 300;

/// Bounds on generic OTLP metrics.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    /// Series per metric and length of labels.
    pub space: LabelSpace,
    /// Maximum number of metrics.
    pub max_metrics: usize,
}

/// Metrics with their series, and the last totals of cumulative streams.
#[derive(Debug, Default)]
pub struct OtlpSeries {
    metrics: BTreeMap<String, MetricSeries>,
    streams: HashMap<StreamId, Stream>,
}

/// A metric and its series.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
    /// Values by labels.
    pub series: BTreeMap<Labels, SeriesValue>,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    /// The sum of all amounts; survives a restart.
    Sum(Amount),
    /// The last value of a gauge; after a restart, missing until the next report.
    Now {
        /// The value.
        value: f64,
        /// Time of the measurement, in nanoseconds since the Unix epoch.
        time_unix_nanos: u64,
        /// Time of the report, in seconds of the host's uptime.
        seen: u64,
    },
}

/// The last total of a cumulative stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Start of the stream, in nanoseconds since the Unix epoch; 0 if unknown.
    pub start_unix_nanos: u64,
    /// Time of the total, in nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// The total.
    pub total: Amount,
    /// Time of the report, in seconds of the host's uptime.
    pub seen: u64,
}

/// The parts of an [`OtlpSeries`] that a transaction replaces. Hash maps, because a transaction looks up the same
/// series again and again.
#[derive(Debug, Default)]
pub struct Replacement {
    /// Metrics by name.
    pub metrics: HashMap<String, ReplacedMetric>,
    /// Streams that reported a total.
    pub streams: HashMap<StreamId, Stream>,
}

/// The replaced series of a metric.
#[derive(Debug)]
pub struct ReplacedMetric {
    /// Type.
    pub kind: Kind,
    /// Help text.
    pub help: String,
    /// Series with their new values.
    pub series: HashMap<Labels, SeriesValue>,
    /// Number of series that are new.
    new: usize,
}

impl OtlpSeries {
    /// Restores the committed metrics and streams.
    pub fn restore(
        metrics: BTreeMap<String, MetricSeries>,
        streams: HashMap<StreamId, Stream>,
    ) -> Self {
        Self { metrics, streams }
    }

    /// Returns the metrics by name.
    pub fn metrics(&self) -> &BTreeMap<String, MetricSeries> {
        &self.metrics
    }

    /// Returns the number of series; a histogram counts as one.
    pub fn series(&self) -> usize {
        self.metrics
            .values()
            .map(|metric| metric.series.len())
            .sum()
    }

    /// Returns the number of streams whose last total is remembered.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Folds `point` into `replacement`, on top of the committed series. `uptime` is in seconds.
    ///
    /// # Errors
    /// The value of the label `reason`, if the point does not fit or its metric has another type.
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

    /// Checks that a known metric keeps its type and that a new one fits.
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
            metric.series.extend(series);
        }
        self.streams.extend(replacement.streams);
    }

    /// Forgets gauges and streams that were not reported for long; returns the streams.
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
        // Looks the name up first, so that only a new one is copied.
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
            .expect("it was inserted if it was missing")
    }
}

/// Returns the increase from the `known` total of a stream to `now`; `None` if `now` is out of date.
fn gain(known: Option<&Stream>, now: &Stream) -> Option<Amount> {
    let Some(known) = known else {
        let running = now.time_unix_nanos.saturating_sub(now.start_unix_nanos);
        let maybe_forgotten = now.start_unix_nanos > 0 && running > STREAM_MEMORY * 1_000_000_000;
        return Some(if maybe_forgotten {
            zero(&now.total)
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
    // A decreased total is a restart, even if the start time does not say so.
    Some(
        since
            .filter(|_| same_start)
            .unwrap_or_else(|| now.total.clone()),
    )
}

fn zero(total: &Amount) -> Amount {
    match total {
        Amount::Number(_) => Amount::Number(0.0),
        Amount::Histogram(buckets) => {
            let mut zero = buckets.clone();
            zero.counts.fill(0);
            zero.sum = 0.0;
            Amount::Histogram(zero)
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
        // A metric keeps its type, so this is the first amount, or the first delta after gauge values.
        (_, gain) => gain.clone(),
    })
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
            (1, 10, 12, 7.0, 107.0),                           // a repetition
            (1, 10, 11, 5.0, 107.0),                           // late
            (1, 20, 21, 3.0, 110.0),                           // a restart with a new start time
            (1, 10, 22, 8.0, 110.0),                           // from before the restart
            (1, 20, 23, 1.0, 111.0),                           // a decrease
            (2, 0, 13, 101.0, 112.0),                          // the start time is missing
            (3, 1, 2 + 25 * 3600 * 1_000_000_000, 1e9, 112.0), // may be a forgotten stream
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
    fn a_point_that_does_not_fit_is_refused_with_its_reason() {
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
        // The limits hold within one transaction, too.
        let mut replacement = Replacement::default();
        for label in ["2", "3", "4"] {
            let folded = series.fold(&mut replacement, more("b", Kind::Gauge, label), &LIMITS, 0);
            assert_eq!(folded.is_ok(), label != "4");
        }
    }

    #[test]
    fn a_metric_whose_points_are_all_refused_is_not_created() {
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
