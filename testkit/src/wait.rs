//! Waits by polling until a condition holds or a deadline passes.

use anyhow::Result;
use std::{
    fmt::{Debug, Display},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Pause between two polls, unless [`Wait::every`] says otherwise.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait, and how often to poll.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    within: Duration,
    every: Duration,
}

/// The result of one poll.
#[derive(Debug)]
pub enum Seen<T> {
    /// The condition holds.
    Yes(T),
    /// It does not hold yet; the text says what was seen instead, and ends up in [`Missed::last`].
    NotYet(String),
}

impl Seen<()> {
    /// Returns `Yes` if the condition `holds`, else `NotYet` with what was seen.
    pub fn when(holds: bool, otherwise: impl Display) -> Self {
        if holds {
            Self::Yes(())
        } else {
            Self::NotYet(otherwise.to_string())
        }
    }
}

impl<T> Seen<T> {
    /// Returns `Yes` if there is a value, else `NotYet` with what was seen.
    pub fn some(value: Option<T>, otherwise: impl Display) -> Self {
        value.map_or_else(|| Self::NotYet(otherwise.to_string()), Self::Yes)
    }
}

/// A deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: not within {} s; last seen: {last}", within.as_secs_f64())]
pub struct Missed {
    /// The condition, in words.
    pub what: String,
    /// Time it had.
    pub within: Duration,
    /// The result of the last poll.
    pub last: String,
}

/// Polls every 50 ms until the condition holds: [`Wait::until`] with the defaults.
///
/// # Errors
/// If it does not hold in time.
pub async fn until<T>(
    what: &str,
    within: Duration,
    poll: impl AsyncFnMut() -> Result<Seen<T>>,
) -> Result<T, Missed> {
    Wait::up_to(within).until(what, poll).await
}

impl Wait {
    /// Waits no longer than `within`.
    pub fn up_to(within: Duration) -> Self {
        Self {
            within,
            every: PAUSE,
        }
    }

    /// Sets the pause between two polls.
    #[must_use]
    pub fn every(self, pause: Duration) -> Self {
        Self {
            every: pause,
            ..self
        }
    }

    /// Polls until the condition `what` holds. A poll that fails counts as one that saw its error.
    ///
    /// # Errors
    /// If it does not hold in time.
    pub async fn until<T>(
        self,
        what: &str,
        mut poll: impl AsyncFnMut() -> Result<Seen<T>>,
    ) -> Result<T, Missed> {
        let start = Instant::now();
        loop {
            let last = match poll().await {
                Ok(Seen::Yes(value)) => return Ok(value),
                Ok(Seen::NotYet(last)) => last,
                Err(error) => format!("{error:#}"),
            };
            if start.elapsed() >= self.within {
                let (what, within) = (what.to_owned(), self.within);
                return Err(Missed { what, within, last });
            }
            sleep(self.every).await;
        }
    }

    /// Polls until a value has not changed for `still`, and returns it. That nothing more happens is no event to await.
    ///
    /// # Errors
    /// If it keeps changing, or cannot be read.
    pub async fn rest<T: PartialEq + Debug>(
        self,
        what: &str,
        still: Duration,
        mut poll: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T, Missed> {
        let mut previous: Option<(T, Instant)> = None;
        self.until(what, async || {
            let value = poll().await?;
            match previous.take() {
                Some((same, since)) if same == value => {
                    if since.elapsed() >= still {
                        return Ok(Seen::Yes(value));
                    }
                    previous = Some((same, since));
                }
                _ => previous = Some((value, Instant::now())),
            }
            Ok(Seen::NotYet(format!("changing: {previous:?}")))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait(millis: u64, from: u32) -> (Result<u32, Missed>, u32) {
        let mut polls = 0;
        let wait = Wait::up_to(Duration::from_millis(millis)).every(Duration::from_millis(1));
        let found = wait.until("the poll", async || {
            polls += 1;
            match polls {
                polls if polls >= from => Ok(Seen::Yes(polls)),
                1 => anyhow::bail!("nobody listens"),
                polls => Ok(Seen::NotYet(format!("poll {polls}"))),
            }
        });
        (found.await, polls)
    }

    #[tokio::test]
    async fn it_polls_until_the_condition_holds() {
        let (found, polls) = wait(60_000, 7).await;
        assert_eq!((found.unwrap(), polls), (7, 7));
    }

    #[tokio::test]
    async fn a_deadline_ends_it_with_what_was_seen_last() {
        let (found, polls) = wait(250, u32::MAX).await;
        let error = found.unwrap_err().to_string();
        let expected = format!("the poll: not within 0.25 s; last seen: poll {polls}");
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn a_condition_that_holds_at_once_needs_no_time() {
        assert_eq!(wait(0, 1).await.0.unwrap(), 1);
        let error = wait(0, 2).await.0.unwrap_err();
        assert_eq!(error.last, "nobody listens");
    }

    #[tokio::test]
    async fn a_value_is_at_rest_once_it_has_not_changed_for_long_enough() {
        let still = Duration::from_millis(30);
        let wait = Wait::up_to(Duration::from_secs(60)).every(Duration::from_millis(1));
        let mut polls = 0;
        let start = Instant::now();
        let rest = wait.rest("the value", still, async || {
            polls += 1;
            Ok(polls.min(5))
        });
        assert_eq!(rest.await.unwrap(), 5);
        assert!(start.elapsed() >= still);
    }
}
