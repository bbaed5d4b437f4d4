//! When requests are due.

use std::time::{Duration, Instant};

/// How requests follow one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each connection sends as soon as it has its answer.
    Saturate,
    /// So many a second, evenly, whatever becomes of them.
    PerSecond(f64),
}

/// What is due from a start on, for some time.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    start: Instant,
    end: Instant,
    taken: u64,
}

impl Schedule {
    pub(super) fn new(pace: Pace, start: Instant, time: Duration) -> Self {
        Self {
            pace,
            start,
            end: start + time,
            taken: 0,
        }
    }

    /// Takes a request that is due; returns since when it is.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = match self.pace {
            Pace::Saturate => Some(now).filter(|now| *now < self.end),
            Pace::PerSecond(_) => self.next().filter(|due| *due <= now),
        };
        self.taken += u64::from(due.is_some());
        due
    }

    /// Returns when the next request is due, if that has a time.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.pace {
            Pace::Saturate => None,
            Pace::PerSecond(rate) => {
                let due = self.start + Duration::from_secs_f64(self.taken as f64 / rate);
                Some(due).filter(|due| *due < self.end)
            }
        }
    }

    /// Returns whether nothing will be due any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        match self.pace {
            Pace::Saturate => now >= self.end,
            Pace::PerSecond(_) => self.next().is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_took_in_time_stays_due_since_then() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut schedule = Schedule::new(Pace::PerSecond(1000.0), start, Duration::from_millis(3));
        assert_eq!(schedule.take(at(0)), Some(at(0)));
        assert_eq!(schedule.take(at(0)), None);
        assert_eq!(schedule.next(), Some(at(1)));
        // The taker was busy, even beyond the end.
        assert_eq!(schedule.take(at(50)), Some(at(1)));
        assert!(!schedule.is_over(at(50)));
        assert_eq!(schedule.take(at(60)), Some(at(2)));
        assert!(schedule.is_over(at(60)));
        assert_eq!(schedule.take(at(60)), None);
    }

    #[test]
    fn saturation_has_always_something_due_until_its_end() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::Saturate, start, Duration::from_millis(3));
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.take(start), Some(start));
        let end = start + Duration::from_millis(3);
        assert_eq!(schedule.take(end), None);
        assert!(schedule.is_over(end) && !schedule.is_over(start));
    }
}
