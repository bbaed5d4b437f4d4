//! Tracks: what is remembered of each process that reports to a stream, so that each amount is counted once.
//!
//! A process with cumulative temporality is known by its start time: a total adds its increase since the last one of
//! the same start. A process with delta temporality is known by its last intervals: one whose start is the end of
//! another continues it, and a repeated one is recognised by its amount: another amount is of another process.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums>

use crate::{Amount, Stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum number of tracks per stream.
const MAX_TRACKS_PER_STREAM: usize = 128;
/// Time for which a track is remembered, in seconds of the host's uptime.
pub(super) const MEMORY: u64 = 24 * 3600;
/// Largest delay of a late point. If the time of a stream steps back further, its clock was corrected.
const LATE_NANOS: u64 = 300 * NANOS_PER_SECOND;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The last report of a process. The journal stores it: a change of its fields is a change of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// [`Stream::id`].
    pub stream: [u8; 16],
    /// Start of the process or of the delta's interval, in nanoseconds since the Unix epoch.
    pub start_unix_nanos: u64,
    /// Time of the report, in nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// The total, or the amount of the interval.
    pub amount: Amount,
    /// Time of the report, in seconds of the host's uptime.
    pub seen: u64,
    /// When the stream's last forgotten process was seen, if one was forgotten to make room.
    pub forgotten: Option<u64>,
}

/// Totals in a journal of schema 2, by [`Stream::legacy_id`].
pub type LegacyTracks = BTreeMap<[u8; 16], Track>;

/// The change that a report makes to its series.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gain {
    Amount(Amount),
    /// None, for a reason.
    Nothing(&'static str),
    /// Unknown: the process may have been counted and forgotten. It is counted from now on.
    Forgotten,
}

/// A reported amount, without its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) stream: Stream,
    pub(super) start_unix_nanos: u64,
    pub(super) time_unix_nanos: u64,
    pub(super) uptime: u64,
}

/// The context of a series that its tracks need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    pub(super) legacy: &'a LegacyTracks,
    /// Whether no series may have one more track.
    pub(super) is_full: bool,
}

/// The tracks of a series.
pub(super) struct Tracks<'a> {
    pub(super) known: &'a mut Vec<Track>,
    pub(super) room: Room<'a>,
}

impl Tracks<'_> {
    /// Records a cumulative total of a series that is known for `age` seconds.
    ///
    /// # Errors
    /// The reason for which it cannot be counted.
    pub(super) fn total(
        &mut self,
        report: &Report,
        total: Amount,
        age: u64,
    ) -> Result<Gain, &'static str> {
        let start = report.start_unix_nanos;
        let own = self.find(report, |track| track.start_unix_nanos == start);
        let known = match own {
            Some(own) => self.known.get(own),
            None => self
                .room
                .legacy
                .get(&report.stream.legacy_id)
                .filter(|known| known.start_unix_nanos == start && known.is_like(&total)),
        };
        if let Some(known) = known {
            let gain = known.gain(report, &total)?;
            if let Gain::Amount(_) = gain {
                let forgotten = known.forgotten;
                self.put(own, report, total, forgotten);
            }
            return Ok(gain);
        }
        let forgotten = self.make_room(report)?;
        let running = report
            .time_unix_nanos
            .saturating_sub(report.start_unix_nanos);
        let since_forgotten = forgotten.map_or(MEMORY, |seen| report.uptime.saturating_sub(seen));
        // Uptimes are rounded to seconds.
        let since_forgotten = since_forgotten.min(MEMORY).saturating_sub(1);
        let is_maybe_forgotten = age > since_forgotten
            && report.start_unix_nanos > 0
            && running / NANOS_PER_SECOND > since_forgotten;
        self.put(None, report, total.clone(), forgotten);
        Ok(if is_maybe_forgotten {
            Gain::Forgotten
        } else {
            Gain::Amount(total)
        })
    }

    /// Records the amount of an interval. Without a start and an end, it cannot be recognised later.
    ///
    /// # Errors
    /// The reason for which it cannot be counted.
    pub(super) fn delta(&mut self, report: &Report, amount: Amount) -> Result<Gain, &'static str> {
        let (start, end) = (report.start_unix_nanos, report.time_unix_nanos);
        if start == 0 || end == 0 {
            return Ok(Gain::Amount(amount));
        }
        let repeated = |track: &Track| {
            (track.start_unix_nanos, track.time_unix_nanos) == (start, end)
                && track.amount == amount
        };
        if self.find(report, repeated).is_some() {
            return Ok(Gain::Nothing("repeated"));
        }
        let before = |start| self.find(report, |track| track.time_unix_nanos == start);
        let (replaced, forgotten) = match before(start) {
            // The last two intervals of a process are remembered: a retry may arrive after its successor.
            Some(last) => (before(self.known[last].start_unix_nanos), None),
            None => (None, self.make_room(report)?),
        };
        self.put(replaced, report, amount.clone(), forgotten);
        Ok(Gain::Amount(amount))
    }

    /// Returns the index of a track of the report's stream.
    fn find(&self, report: &Report, is_it: impl Fn(&Track) -> bool) -> Option<usize> {
        let mut known = self.known.iter();
        known.position(|track| is_it(track) && track.stream == report.stream.id)
    }

    /// Records a report, in place of the track at an index if it replaces one.
    fn put(
        &mut self,
        replaced: Option<usize>,
        report: &Report,
        amount: Amount,
        forgotten: Option<u64>,
    ) {
        let track = Track {
            stream: report.stream.id,
            start_unix_nanos: report.start_unix_nanos,
            time_unix_nanos: report.time_unix_nanos,
            amount,
            seen: report.uptime,
            forgotten,
        };
        match replaced {
            Some(replaced) => self.known[replaced] = track,
            None => {
                // Most series have one track for all their life.
                self.known.reserve_exact(1);
                self.known.push(track);
            }
        }
    }

    /// Makes room for a new track, at the expense of the stream's track that was seen least recently; returns when the
    /// last one that was forgotten so was seen.
    fn make_room(&mut self, report: &Report) -> Result<Option<u64>, &'static str> {
        if self.room.is_full {
            return Err("streams");
        }
        let own = self.known.iter().enumerate();
        let own = own.filter(|(_, track)| track.stream == report.stream.id);
        let forgotten = own.clone().filter_map(|(_, track)| track.forgotten).max();
        if own.clone().count() < MAX_TRACKS_PER_STREAM {
            return Ok(forgotten);
        }
        let oldest = own.min_by_key(|(_, track)| (track.seen, track.start_unix_nanos));
        let oldest = oldest.map(|(index, _)| index);
        Ok(oldest.map_or(forgotten, |oldest| {
            let seen = self.known.remove(oldest).seen;
            forgotten.max(Some(seen))
        }))
    }
}

impl Track {
    fn is_like(&self, other: &Amount) -> bool {
        std::mem::discriminant(&self.amount) == std::mem::discriminant(other)
    }

    /// Returns the increase from this total to `total`.
    fn gain(&self, report: &Report, total: &Amount) -> Result<Gain, &'static str> {
        let is_start_known = report.start_unix_nanos > 0;
        let (then, now) = (self.time_unix_nanos, report.time_unix_nanos);
        let increase = match (&self.amount, total) {
            (Amount::Number(then), Amount::Number(now)) if now >= then => {
                Some(Amount::Number(now - then))
            }
            (Amount::Histogram(then), Amount::Histogram(now)) => {
                let increase = now.since(then);
                let certain = || is_start_known.then(|| now.certain_since(then))?;
                let increase = increase.or_else(certain);
                increase.map(|increase| Amount::Histogram(increase.into()))
            }
            _ => None,
        };
        match increase {
            Some(_) if now <= then && *total == self.amount => Ok(Gain::Nothing("repeated")),
            // Even if its time is earlier: then the sender's clock was corrected.
            Some(increase) => Ok(Gain::Amount(increase)),
            None if is_late(then, now) || is_start_known && now < then => {
                Ok(Gain::Nothing("superseded"))
            }
            // Without a start time, a decrease is the sign of a restart.
            None if !is_start_known => Ok(Gain::Amount(total.clone())),
            // Two processes report as one.
            None => Err("decreased"),
        }
    }
}

/// Returns whether a report of the time `now` was overtaken by one of the time `then`.
pub(super) fn is_late(then: u64, now: u64) -> bool {
    now < then && then - now <= LATE_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buckets;

    const SECOND: u64 = NANOS_PER_SECOND;

    #[derive(Default)]
    struct Remembered {
        tracks: Vec<Track>,
        legacy: LegacyTracks,
        sum: f64,
    }

    impl Remembered {
        fn report(
            &mut self,
            start: u64,
            time: u64,
            uptime: u64,
            amount: Amount,
            is_delta: bool,
        ) -> Result<Gain, &'static str> {
            let mut tracks = Tracks {
                known: &mut self.tracks,
                room: Room {
                    legacy: &self.legacy,
                    is_full: false,
                },
            };
            let report = Report {
                stream: Stream {
                    id: [1; 16],
                    legacy_id: [2; 16],
                },
                start_unix_nanos: start,
                time_unix_nanos: time,
                uptime,
            };
            let gain = if is_delta {
                tracks.delta(&report, amount)
            } else {
                tracks.total(&report, amount, uptime)
            };
            if let Ok(Gain::Amount(Amount::Number(gain))) = &gain {
                self.sum += gain;
            }
            gain
        }

        fn total(&mut self, start: u64, time: u64, total: f64) -> Result<f64, &'static str> {
            let gain = self.report(start, time, 0, Amount::Number(total), false);
            gain.map(|_| self.sum)
        }

        fn delta(&mut self, start: u64, end: u64, amount: f64) -> Result<f64, &'static str> {
            let gain = self.report(start, end, 0, Amount::Number(amount), true);
            gain.map(|_| self.sum)
        }
    }

    #[test]
    fn totals_add_up_over_processes_restarts_and_corrected_clocks() {
        const YEAR: u64 = 365 * 24 * 3600 * SECOND;
        for (name, reports) in [
            (
                "three workers",
                &[
                    (10, 20, 5.0, Ok(5.0)),
                    (11, 20, 5.0, Ok(10.0)),
                    (12, 20, 5.0, Ok(15.0)),
                    (10, 30, 20.0, Ok(30.0)),
                    (11, 30, 20.0, Ok(45.0)),
                    (12, 30, 20.0, Ok(60.0)),
                    (11, 30, 20.0, Ok(60.0)), // a repetition
                    (11, 20, 5.0, Ok(60.0)),  // late
                ][..],
            ),
            (
                "a clock that was a year ahead",
                &[
                    (YEAR + 1, YEAR + 2, 3.0, Ok(3.0)),
                    (1, 10, 10.0, Ok(13.0)),
                    (1, 20, 20.0, Ok(23.0)),
                    (1, 30, 30.0, Ok(33.0)),
                ],
            ),
            (
                "a clock that is corrected in a running process",
                &[
                    (YEAR, YEAR + 2, 3.0, Ok(3.0)),
                    (YEAR, 10, 10.0, Ok(10.0)),
                    (YEAR, 20, 9.0, Err("decreased")),
                ],
            ),
            (
                "two processes with one start",
                &[
                    (1, 10, 20.0, Ok(20.0)),
                    (1, 11, 5.0, Err("decreased")),
                    (1, 12, 21.0, Ok(21.0)),
                ],
            ),
            (
                "unknown start",
                &[
                    (0, YEAR, 5.0, Ok(5.0)),
                    (0, YEAR + 1, 7.0, Ok(7.0)),
                    (0, YEAR, 6.0, Ok(7.0)),     // late
                    (0, YEAR + 2, 2.0, Ok(9.0)), // a restart
                    (0, 1, 1.0, Ok(10.0)),       // a restart with a corrected clock
                ],
            ),
        ] {
            let mut remembered = Remembered::default();
            for (start, time, total, expected) in reports {
                let sum = remembered.total(*start, *time, *total);
                assert_eq!(sum, *expected, "{name}: {total} at {time}");
            }
        }
    }

    #[test]
    fn a_repeated_interval_is_recognised() {
        let mut remembered = Remembered::default();
        for (start, end, amount, expected) in [
            (1, 2, 7.0, Ok(7.0)),
            (1, 2, 7.0, Ok(7.0)), // the reply was lost
            (2, 3, 7.0, Ok(14.0)),
            (1, 2, 7.0, Ok(14.0)), // late
            (1, 3, 5.0, Ok(19.0)), // another process that started at the same time
            (3, 5, 7.0, Ok(26.0)),
            (3, 5, 7.0, Ok(26.0)),
            (5, 6, 1.0, Ok(27.0)),
            (5, 6, 2.0, Ok(29.0)), // another process with the same interval
            (6, 7, 3.0, Ok(32.0)),
            (6, 7, 4.0, Ok(36.0)),
            (5, 6, 2.0, Ok(36.0)),
            (5, 6, 1.0, Ok(36.0)),
            (0, 6, 1.0, Ok(37.0)), // without a start, nothing can be recognised
            (0, 6, 1.0, Ok(38.0)),
            (7, 0, 1.0, Ok(39.0)),
            (7, 0, 1.0, Ok(40.0)),
        ] {
            let sum = remembered.delta(start, end, amount);
            assert_eq!(sum, expected, "{amount} from {start} to {end}");
        }
        assert!(remembered.tracks.len() <= 5, "{:?}", remembered.tracks);
    }

    #[test]
    fn a_stream_has_a_bounded_number_of_tracks_and_none_is_counted_twice() {
        let mut remembered = Remembered::default();
        let count = MAX_TRACKS_PER_STREAM as u64 + 10;
        for process in 1..=count {
            let at = process * SECOND;
            let gain = remembered.report(at, at + 1, process, Amount::Number(1.0), false);
            assert_eq!(gain, Ok(Gain::Amount(Amount::Number(1.0))), "{process}");
        }
        assert_eq!(remembered.tracks.len(), MAX_TRACKS_PER_STREAM);
        // The first one was forgotten, so what it reports now is news only from now on.
        let at = count * SECOND;
        let mut first = |total| remembered.report(SECOND, at, count, Amount::Number(total), false);
        assert_eq!(first(5.0), Ok(Gain::Forgotten));
        assert_eq!(first(6.0), Ok(Gain::Amount(Amount::Number(1.0))));
    }

    #[test]
    fn a_total_in_a_journal_of_schema_2_is_continued() {
        let mut remembered = Remembered {
            sum: 5.0,
            ..Remembered::default()
        };
        let legacy = Track {
            stream: [2; 16],
            start_unix_nanos: 1,
            time_unix_nanos: 9,
            amount: Amount::Number(5.0),
            seen: 0,
            forgotten: None,
        };
        remembered.legacy.insert([2; 16], legacy);
        assert_eq!(remembered.total(1, 10, 7.0), Ok(7.0));
        assert_eq!(remembered.total(1, 11, 8.0), Ok(8.0));
        let buckets = Buckets::new(vec![], vec![3], None).unwrap();
        let histogram = remembered.report(1, 12, 0, Amount::Histogram(buckets.into()), false);
        assert_eq!(histogram, Err("decreased"), "streams have one type");
    }
}
