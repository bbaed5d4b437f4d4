//! When requests are due.

use super::timer::Timer;
use anyhow::{Result, ensure};
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, watch};

/// Hands out requests.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    end: Option<Instant>,
    count: usize,
    pace: Pace,
    stopped: watch::Sender<bool>,
}

#[derive(Debug)]
enum Pace {
    /// Next index.
    Closed(AtomicUsize),
    Open {
        rate: f64,
        /// The connections that are free wait for it, and get it in their order.
        next: Mutex<Next>,
    },
}

#[derive(Debug)]
struct Next {
    index: usize,
    timer: Timer,
}

impl Schedule {
    pub(super) fn new(
        start: Instant,
        rate: Option<f64>,
        count: usize,
        time: Option<Duration>,
    ) -> Result<Self> {
        let pace = match rate {
            None => Pace::Closed(AtomicUsize::new(0)),
            Some(rate) => {
                ensure!(rate > 0.0 && rate.is_finite(), "{rate} requests a second");
                let timer = Timer::new()?;
                let next = Mutex::new(Next { index: 0, timer });
                Pace::Open { rate, next }
            }
        };
        Ok(Self {
            start,
            end: time.map(|time| start + time),
            count,
            pace,
            stopped: watch::Sender::new(false),
        })
    }

    /// Returns whether a connection is never idle.
    pub(super) fn is_closed_loop(&self) -> bool {
        matches!(self.pace, Pace::Closed(_))
    }

    /// Lets nothing more be taken.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Waits for the next request; returns its index and when it was due, or `None` at the end.
    pub(super) async fn take(&self) -> Option<(usize, Instant)> {
        match &self.pace {
            Pace::Closed(next) => {
                let now = Instant::now();
                let index = next.fetch_add(1, Relaxed);
                self.allows(index, now).then_some((index, now))
            }
            Pace::Open { rate, next } => {
                let mut next = next.lock().await;
                let due = self.start + Duration::from_secs_f64(next.index as f64 / rate);
                if !self.allows(next.index, due) || !self.reach(due, &mut next.timer).await {
                    return None;
                }
                next.index += 1;
                Some((next.index - 1, due))
            }
        }
    }

    fn allows(&self, index: usize, due: Instant) -> bool {
        index < self.count && self.end.is_none_or(|end| due < end) && !*self.stopped.borrow()
    }

    /// Waits until `due`; false if it was stopped before.
    async fn reach(&self, due: Instant, timer: &mut Timer) -> bool {
        if due <= Instant::now() {
            return true;
        }
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            reached = timer.wait(due) => reached.is_ok(),
            _ = stopped.wait_for(|stopped| *stopped) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(3);

    #[tokio::test]
    async fn a_request_that_was_not_taken_in_time_stays_due_since_then() {
        let start = Instant::now() - Duration::from_millis(50);
        let schedule = Schedule::new(start, Some(1000.0), usize::MAX, Some(TIME)).unwrap();
        for index in 0..3 {
            let due = start + Duration::from_millis(index as u64);
            assert_eq!(schedule.take().await, Some((index, due)));
        }
        assert_eq!(schedule.take().await, None);
    }

    #[tokio::test]
    async fn a_request_is_not_taken_before_it_is_due() {
        let start = Instant::now();
        let schedule = Schedule::new(start, Some(1000.0), 4, None).unwrap();
        for _ in 0..4 {
            let (_, due) = schedule.take().await.unwrap();
            assert!(Instant::now() >= due);
        }
        assert_eq!(schedule.take().await, None);
    }

    #[tokio::test]
    async fn a_closed_loop_has_always_something_due_until_its_end() {
        let schedule = Schedule::new(Instant::now(), None, 2, None).unwrap();
        assert_eq!(schedule.take().await.unwrap().0, 0);
        assert_eq!(schedule.take().await.unwrap().0, 1);
        assert_eq!(schedule.take().await, None);
        let over = Schedule::new(Instant::now() - TIME, None, 2, Some(TIME)).unwrap();
        assert_eq!(over.take().await, None);
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_for_what_is_due() {
        let schedule = Schedule::new(Instant::now(), Some(0.001), usize::MAX, None).unwrap();
        assert!(schedule.take().await.is_some());
        let (taken, ()) = tokio::join!(schedule.take(), async { schedule.stop() });
        assert_eq!(taken, None);
    }
}
