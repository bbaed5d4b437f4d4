//! Polls until something is so, or a deadline has passed.

use anyhow::Result;
use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What time is taken from.
pub trait Clock {
    /// Returns the time.
    fn now(&self) -> Instant;
    /// Lets some of it pass.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// The time of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What a look found.
#[derive(Debug)]
pub enum Seen<T> {
    /// What was waited for.
    Yes(T),
    /// Something else, which is told if the wait is in vain.
    NotYet(String),
}

impl Seen<()> {
    /// Returns whether what was waited for `is` so, and otherwise what is.
    pub fn when(is: bool, otherwise: impl Display) -> Self {
        if is {
            Self::Yes(())
        } else {
            Self::NotYet(otherwise.to_string())
        }
    }
}

/// A deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: not within {} s; last seen: {last}", within.as_secs())]
pub struct Missed {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub within: Duration,
    /// What was there instead.
    pub last: String,
}

/// Looks until what was waited for is seen. A look that fails counts as one that saw its error.
///
/// # Errors
/// If it is not seen `within` that time.
pub async fn until<T>(
    clock: &impl Clock,
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Seen<T>>,
) -> Result<T, Missed> {
    let start = clock.now();
    loop {
        let last = match look().await {
            Ok(Seen::Yes(found)) => return Ok(found),
            Ok(Seen::NotYet(last)) => last,
            Err(error) => format!("{error:#}"),
        };
        if clock.now() - start >= within {
            let what = what.to_owned();
            return Err(Missed { what, within, last });
        }
        clock.sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Time that passes only while somebody sleeps.
    struct Hands(Cell<Instant>);

    impl Clock for Hands {
        fn now(&self) -> Instant {
            self.0.get()
        }

        fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
            self.0.set(self.0.get() + time);
            std::future::ready(())
        }
    }

    async fn wait(seconds: u64, from: u32) -> (Result<u32, Missed>, u32) {
        let clock = Hands(Cell::new(Instant::now()));
        let mut looks = 0;
        let found = until(
            &clock,
            "the look",
            Duration::from_secs(seconds),
            async || {
                looks += 1;
                match looks {
                    looks if looks >= from => Ok(Seen::Yes(looks)),
                    1 => anyhow::bail!("nobody listens"),
                    looks => Ok(Seen::NotYet(format!("look {looks}"))),
                }
            },
        );
        (found.await, looks)
    }

    #[tokio::test]
    async fn it_looks_until_it_sees() {
        let (found, looks) = wait(60, 7).await;
        assert_eq!((found.unwrap(), looks), (7, 7));
    }

    #[tokio::test]
    async fn a_deadline_ends_it_with_what_was_seen_last() {
        let (found, looks) = wait(1, u32::MAX).await;
        // At 0, 0.2, … and 1 s.
        assert_eq!(looks, 6);
        let error = found.unwrap_err().to_string();
        assert_eq!(error, "the look: not within 1 s; last seen: look 6");
    }

    #[tokio::test]
    async fn what_is_there_at_once_needs_no_time() {
        assert_eq!(wait(0, 1).await.0.unwrap(), 1);
        let error = wait(0, 2).await.0.unwrap_err();
        assert_eq!(error.last, "nobody listens");
    }
}
