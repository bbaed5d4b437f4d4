//! The value of a series, and how a report changes it.

use crate::{
    Amount, Folded, PointValue,
    tracks::{self, Gain, Report, Room, Track, Tracks, is_late},
};

/// Time for which a gauge is shown after its last report, in seconds; the same as Prometheus' staleness.
pub(super) const GAUGE_MEMORY: u64 = 300;
/// Time for which a bucket is shown after the last report that had its bound, in seconds.
const LAYOUT_MEMORY: u64 = 300;
/// Maximum number of sets of bounds that are shown.
const MAX_LAYOUTS: usize = 4;
/// Number of bounds from which those not shown are forgotten.
const MAX_BOUNDS: usize = 500;
/// Maximum number of processes that report a level.
const MAX_LEVELS: usize = 128;
/// Grace for a process that reports late, in seconds.
const LEVEL_GRACE: u64 = 10;

/// Time for which a series belongs to the metric that reported it, in seconds of the host's uptime.
pub(super) const ORIGIN_MEMORY: u64 = 600;

/// Reason of a point that only ends its series.
const NO_RECORDED_VALUE: &str = "no_recorded_value";

/// A series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The value.
    pub value: SeriesValue,
    /// Whether its sender said that it ended. It is not shown until the next report.
    pub ended: bool,
    /// Time of the first report known, in seconds of the host's uptime.
    pub(super) born: u64,
    /// Time of the last report, in seconds of the host's uptime.
    pub seen: u64,
    /// [`crate::Family::origin`] of the last report; 0 if unknown.
    pub origin: u64,
    /// The last reports of the processes that add to the sum.
    pub tracks: Vec<Track>,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    /// The sum of all amounts; survives a restart.
    Sum(Sum),
    /// The last value of a gauge; after a restart, missing until the next report.
    Gauge(Gauge),
    /// A cumulative sum that may decrease: one value for each process. After a restart, missing until the next report.
    Levels(Vec<Level>),
}

/// A sum of amounts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// The sum.
    pub amount: Amount,
    /// Quantiles of a summary with their values, as last reported.
    pub quantiles: Vec<(f64, f64)>,
    /// Bounds in recent reports of a histogram, each with the time of the last one.
    layouts: Vec<(Vec<f64>, u64)>,
}

/// A gauge's value and the streams that reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// The value.
    pub value: f64,
    time_unix_nanos: u64,
    owner: [u8; 16],
    previous_owner: Option<[u8; 16]>,
}

/// A process's part of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// The value.
    pub value: f64,
    time_unix_nanos: u64,
    seen: u64,
    process: ([u8; 16], u64),
}

/// A change of a series.
#[derive(Debug)]
pub(super) enum Update {
    Add(Amount),
    Summary(Amount, Vec<(f64, f64)>),
    Set(SeriesValue),
    End,
    /// Only that the process is known from now on.
    Forgotten,
    /// None, for a reason.
    Nothing(&'static str),
}

impl From<Gain> for Update {
    fn from(gain: Gain) -> Self {
        match gain {
            Gain::Amount(amount) => Self::Add(amount),
            Gain::Nothing(reason) => Self::Nothing(reason),
            Gain::Forgotten => Self::Forgotten,
        }
    }
}

impl SeriesValue {
    const NONE: Self = Self::Levels(vec![]);
}

impl Series {
    /// Creates a series without a value.
    pub(super) fn new(uptime: u64) -> Self {
        Self {
            value: SeriesValue::NONE,
            ended: false,
            born: uptime,
            seen: uptime,
            origin: 0,
            tracks: vec![],
        }
    }

    /// Restores a sum that was last reported at `seen`.
    pub fn restore(amount: Amount, seen: u64, uptime: u64) -> Self {
        Self {
            value: SeriesValue::Sum(Sum::new(amount, uptime)),
            born: 0,
            ..Self::new(seen)
        }
    }

    /// Returns whether the series survives a restart.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.value, SeriesValue::Sum(_))
    }

    /// Folds a report in. Returns the result, or the reason for which it cannot be counted; and whether the series
    /// changed.
    pub(super) fn fold(
        &mut self,
        value: PointValue,
        report: &Report,
        origin: u64,
        room: Room<'_>,
    ) -> (Result<Folded, &'static str>, bool) {
        let is_end = value == PointValue::End;
        let update = match self.update(value, report, origin, room) {
            Ok(update) => update,
            Err(reason) => return (Err(reason), false),
        };
        let result = match &update {
            Update::Nothing(reason) => return (Ok(Folded::Skipped(reason)), false),
            Update::Forgotten => Err("forgotten"),
            _ if is_end => Ok(Folded::Skipped(NO_RECORDED_VALUE)),
            _ => Ok(Folded::Counted),
        };
        self.apply(update, origin, report.uptime);
        (result, true)
    }

    /// Records a report in the tracks; returns the change it makes.
    ///
    /// # Errors
    /// The reason for which it cannot be counted.
    fn update(
        &mut self,
        value: PointValue,
        report: &Report,
        origin: u64,
        room: Room<'_>,
    ) -> Result<Update, &'static str> {
        let is_other = ![0, origin].contains(&self.origin);
        if is_other && self.seen + ORIGIN_MEMORY > report.uptime {
            return Err("collision");
        }
        let age = report.uptime.saturating_sub(self.born);
        let mut tracks = Tracks {
            known: &mut self.tracks,
            room,
        };
        Ok(match value {
            PointValue::More(amount) => tracks.delta(report, amount)?.into(),
            PointValue::Total(amount) => tracks.total(report, amount, age)?.into(),
            PointValue::Summary(total, quantiles) => match tracks.total(report, total, age)? {
                Gain::Amount(gain) => Update::Summary(gain, quantiles),
                other => other.into(),
            },
            PointValue::Level(number) => level(self, report, number),
            PointValue::Now(number) => gauge(self, report, number)?,
            PointValue::End => end(self, report),
        })
    }

    /// Applies `update`.
    fn apply(&mut self, update: Update, origin: u64, uptime: u64) {
        self.ended = match update {
            Update::End => true,
            Update::Forgotten | Update::Nothing(_) => self.ended,
            _ => false,
        };
        match (&mut self.value, update) {
            (SeriesValue::Sum(sum), Update::Add(gain)) => sum.add(&gain, uptime),
            (SeriesValue::Sum(sum), Update::Summary(gain, quantiles)) => {
                sum.add(&gain, uptime);
                sum.quantiles = quantiles;
            }
            (value, Update::Add(gain)) => *value = SeriesValue::Sum(Sum::new(gain, uptime)),
            (value, Update::Summary(gain, quantiles)) => {
                let sum = Sum::new(gain, uptime);
                *value = SeriesValue::Sum(Sum { quantiles, ..sum });
            }
            (value, Update::Set(set)) => *value = set,
            (_, Update::End | Update::Forgotten | Update::Nothing(_)) => {}
        }
        self.seen = uptime;
        self.origin = origin;
    }

    /// Forgets what was not reported for long; returns whether the series is to be kept.
    pub(super) fn refresh(&mut self, uptime: u64) -> bool {
        match &mut self.value {
            SeriesValue::Sum(sum) => {
                sum.forget_layouts(uptime);
                let is_old = |track: &Track| track.seen + tracks::MEMORY < uptime;
                self.tracks.retain(|track| !is_old(track));
                self.seen + tracks::MEMORY >= uptime
            }
            SeriesValue::Gauge(_) => self.seen + GAUGE_MEMORY > uptime,
            SeriesValue::Levels(levels) => {
                levels.retain(|level| level.seen + GAUGE_MEMORY > uptime);
                !levels.is_empty()
            }
        }
    }
}

impl Sum {
    fn new(amount: Amount, uptime: u64) -> Self {
        let layouts = match &amount {
            Amount::Histogram(buckets) => vec![(buckets.bounds.clone(), uptime)],
            Amount::Number(_) => vec![],
        };
        Self {
            amount,
            quantiles: vec![],
            layouts,
        }
    }

    fn add(&mut self, gain: &Amount, uptime: u64) {
        match (&mut self.amount, gain) {
            (Amount::Number(sum), Amount::Number(gain)) => {
                *sum = (*sum + gain).clamp(f64::MIN, f64::MAX);
            }
            (Amount::Histogram(sum), Amount::Histogram(gain)) => {
                sum.merge(gain);
                self.note_layout(&gain.bounds, uptime);
            }
            // A metric keeps its type.
            _ => {}
        }
    }

    /// Returns whether the bucket at `bound` is shown: a recent report had it. The others are still counted, so that
    /// they do not step back if they return.
    pub fn shows(&self, bound: f64) -> bool {
        self.layouts.iter().any(|(bounds, _)| {
            let at = bounds.partition_point(|own| *own < bound);
            bounds.get(at) == Some(&bound)
        })
    }

    fn note_layout(&mut self, bounds: &[f64], uptime: u64) {
        if let Some((_, seen)) = self.layouts.iter_mut().find(|(known, _)| known == bounds) {
            *seen = uptime;
            return;
        }
        if self.layouts.len() == MAX_LAYOUTS {
            let oldest = (0..MAX_LAYOUTS).min_by_key(|index| self.layouts[*index].1);
            self.layouts.swap_remove(oldest.unwrap_or_default());
        }
        self.layouts.push((bounds.to_vec(), uptime));
        let coarse = match &self.amount {
            Amount::Histogram(sum) if sum.bounds.len() > MAX_BOUNDS => {
                sum.coarsened(|bound| self.shows(bound))
            }
            _ => return,
        };
        self.amount = Amount::Histogram(coarse.into());
    }

    fn forget_layouts(&mut self, uptime: u64) {
        let newest = self.layouts.iter().map(|(_, seen)| *seen).max();
        self.layouts
            .retain(|(_, seen)| seen + LAYOUT_MEMORY > uptime || Some(*seen) == newest);
    }
}

/// Returns the change by a gauge's report.
///
/// # Errors
/// The reason, if it comes from a stream that another one replaced: two report as one.
fn gauge(before: &Series, report: &Report, value: f64) -> Result<Update, &'static str> {
    let stream = report.stream.id;
    let previous_owner = match &before.value {
        SeriesValue::Gauge(known) => {
            let is_same = known.owner == stream;
            let is_current = !before.ended && before.seen + GAUGE_MEMORY > report.uptime;
            if is_current && !is_same && known.previous_owner == Some(stream) {
                return Err("collision");
            }
            let (then, now) = (known.time_unix_nanos, report.time_unix_nanos);
            if is_late(then, now) {
                return Ok(Update::Nothing("superseded"));
            }
            if is_same && then == now && now > 0 && known.value.to_bits() == value.to_bits() {
                return Ok(Update::Nothing("repeated"));
            }
            if is_same {
                known.previous_owner
            } else {
                Some(known.owner)
            }
        }
        _ => None,
    };
    Ok(Update::Set(SeriesValue::Gauge(Gauge {
        value,
        time_unix_nanos: report.time_unix_nanos,
        owner: stream,
        previous_owner,
    })))
}

/// Returns the change by a level's report. A process that missed two reports of this one is gone.
fn level(before: &Series, report: &Report, value: f64) -> Update {
    let process = (report.stream.id, report.start_unix_nanos);
    let mut levels = match &before.value {
        SeriesValue::Levels(levels) => levels.clone(),
        _ => vec![],
    };
    let (now, uptime) = (report.time_unix_nanos, report.uptime);
    if let Some(at) = levels.iter().position(|level| level.process == process) {
        let known = &levels[at];
        let then = known.time_unix_nanos;
        if is_late(then, now) {
            return Update::Nothing("superseded");
        }
        if then == now && now > 0 && known.value.to_bits() == value.to_bits() {
            return Update::Nothing("repeated");
        }
        let missed = 2 * (uptime - known.seen.min(uptime)) + LEVEL_GRACE;
        levels.retain(|level| level.process != process && level.seen + missed >= uptime);
    } else if levels.len() >= MAX_LEVELS {
        let oldest = (0..levels.len()).min_by_key(|index| levels[*index].seen);
        levels.swap_remove(oldest.unwrap_or_default());
    }
    levels.push(Level {
        value,
        time_unix_nanos: now,
        seen: uptime,
        process,
    });
    Update::Set(SeriesValue::Levels(levels))
}

/// Returns the change by the end of a stream. A series ends with the last of its processes.
fn end(before: &Series, report: &Report) -> Update {
    match &before.value {
        SeriesValue::Sum(_) => Update::End,
        SeriesValue::Gauge(gauge) if gauge.owner == report.stream.id => Update::End,
        SeriesValue::Gauge(_) => Update::Nothing(NO_RECORDED_VALUE),
        SeriesValue::Levels(levels) if levels.is_empty() => Update::Nothing(NO_RECORDED_VALUE),
        SeriesValue::Levels(levels) => {
            let process = (report.stream.id, report.start_unix_nanos);
            let others = levels.iter().filter(|level| level.process != process);
            let others: Vec<_> = others.cloned().collect();
            if others.is_empty() {
                Update::End
            } else {
                Update::Set(SeriesValue::Levels(others))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buckets, Stream};

    fn report(stream: u8, start: u64, time: u64, uptime: u64) -> Report {
        Report {
            stream: Stream {
                id: [stream; 16],
                legacy_id: [0; 16],
            },
            start_unix_nanos: start,
            time_unix_nanos: time,
            uptime,
        }
    }

    fn apply(series: &mut Series, update: Update, uptime: u64) {
        if !matches!(update, Update::Nothing(_)) {
            series.apply(update, 0, uptime);
        }
    }

    fn levels(series: &Series) -> f64 {
        match &series.value {
            SeriesValue::Levels(levels) => levels.iter().map(|level| level.value).sum(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn levels_of_processes_are_added_until_one_is_gone() {
        let mut series = Series::new(0);
        for (start, uptime, value, expected) in [
            (1, 0, 5.0, 5.0),
            (2, 1, 7.0, 12.0),
            (1, 60, 4.0, 11.0),
            (2, 61, 8.0, 12.0),
            (3, 120, 1.0, 13.0), // 1 and 2 restarted as 3
            (3, 180, 2.0, 14.0), // 2 may be late
            (3, 240, 2.0, 2.0),
        ] {
            let update = level(&series, &report(1, start, uptime + 1, uptime), value);
            apply(&mut series, update, uptime);
            assert_eq!(levels(&series), expected, "{start} at {uptime}");
        }
        assert!(!series.refresh(240 + GAUGE_MEMORY));
    }

    #[test]
    fn a_gauge_has_one_stream_at_a_time() {
        let mut series = Series::new(0);
        for (stream, time, value, expected) in [
            (1, 10, 1.0, Ok(1.0)),
            (1, 9, 5.0, Ok(1.0)),
            (2, 11, 2.0, Ok(2.0)), // after a restart
            (1, 12, 3.0, Err("collision")),
            (2, 13, f64::NEG_INFINITY, Ok(f64::NEG_INFINITY)),
        ] {
            let update = gauge(&series, &report(stream, 0, time, 1), value);
            let shown = update.map(|update| {
                apply(&mut series, update, 1);
                match &series.value {
                    SeriesValue::Gauge(gauge) => gauge.value,
                    other => panic!("{other:?}"),
                }
            });
            assert_eq!(shown, expected, "{stream} at {time}");
        }
        // Once the other one is gone, it may return.
        let late = gauge(&series, &report(1, 0, 14, 1 + GAUGE_MEMORY), 3.0);
        assert!(late.is_ok());
    }

    #[test]
    fn buckets_that_no_sender_has_any_more_are_hidden_and_still_counted() {
        let histogram = |bounds: &[f64], counts: &[u64]| {
            Amount::Histogram(Box::new(
                Buckets::new(bounds.to_vec(), counts.to_vec(), None).unwrap(),
            ))
        };
        let shown = |series: &Series| match &series.value {
            SeriesValue::Sum(sum) => match &sum.amount {
                Amount::Histogram(buckets) => {
                    let bounds = buckets.bounds.iter().copied();
                    (
                        bounds.filter(|bound| sum.shows(*bound)).collect::<Vec<_>>(),
                        buckets.count(),
                    )
                }
                Amount::Number(_) => panic!(),
            },
            other => panic!("{other:?}"),
        };
        let mut series = Series::new(0);
        let (old, new) = (
            histogram(&[5.0, 10.0], &[1, 1, 1]),
            histogram(&[1.0, 5.0], &[1, 1, 1]),
        );
        for (uptime, amount, bounds, count) in [
            (0, &old, &[5.0, 10.0][..], 3),
            (10, &new, &[1.0, 5.0, 10.0], 6),
            (299, &new, &[1.0, 5.0, 10.0], 9),
            (301, &new, &[1.0, 5.0], 12),
            (302, &old, &[1.0, 5.0, 10.0], 15),
        ] {
            apply(&mut series, Update::Add(amount.clone()), uptime);
            assert!(series.refresh(uptime));
            assert_eq!(shown(&series), (bounds.to_vec(), count), "{uptime}");
        }
        assert!(series.refresh(302 + tracks::MEMORY));
        assert_eq!(shown(&series).0, [5.0, 10.0], "the last ones stay");
        assert!(!series.refresh(303 + tracks::MEMORY));
    }
}
