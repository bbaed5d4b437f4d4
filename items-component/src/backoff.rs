//! How long to wait before a batch is sent again, and when to stop waiting.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);
/// Time without a delivery after which an instance stops trying.
const GIVE_UP: Duration = Duration::from_secs(2);

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt after this wait.
    Retry(Duration),
    /// No more attempts by this flush, and by none for as long as the receiver asked for.
    GiveUp(Duration),
}

/// Decides what follows attempt number `failures` that failed in a row, `since_delivery` after the last one that
/// did not. A receiver that asks for a pause is given it, up to ten seconds.
pub fn after_failure(
    failures: u32,
    random: u64,
    asked: Option<Duration>,
    since_delivery: Duration,
) -> Next {
    let asked = asked.unwrap_or_default().min(LONGEST);
    let wait = delay(failures, random).max(asked);
    if since_delivery + wait > GIVE_UP {
        Next::GiveUp(asked)
    } else {
        Next::Retry(wait)
    }
}

/// Returns the wait after `failures` attempts in a row (at least 1): doubled each time, at most ten seconds, and
/// spread over its upper half by `random`, so that instances which failed together do not return together.
fn delay(failures: u32, random: u64) -> Duration {
    let doubled = FIRST.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    let whole = doubled.min(LONGEST);
    let half = whole / 2;
    let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(random % (spread + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds_and_are_spread() {
        for random in [0, 1, u64::MAX / 3, u64::MAX] {
            for (failures, whole) in [(1, 50), (2, 100), (5, 800), (9, 10_000), (u32::MAX, 10_000)]
            {
                let wait = delay(failures, random);
                let whole = Duration::from_millis(whole);
                assert!(
                    (whole / 2..=whole).contains(&wait),
                    "{failures} {random}: {wait:?}"
                );
            }
        }
        assert_ne!(delay(3, 1), delay(3, 10_000_000));
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_whether_waited_out_or_not() {
        let second = Duration::from_secs(1);
        let asked = |pause, since| after_failure(1, 0, Some(pause), since);
        assert_eq!(asked(second, Duration::ZERO), Next::Retry(second));
        assert_eq!(asked(second, second * 2), Next::GiveUp(second));
        assert_eq!(asked(second * 5, Duration::ZERO), Next::GiveUp(second * 5));
        assert_eq!(asked(second * 3600, Duration::ZERO), Next::GiveUp(LONGEST));
    }

    #[test]
    fn attempts_end_after_two_seconds_without_a_delivery() {
        let wait = delay(1, 0);
        let next = |since| after_failure(1, 0, None, since);
        assert_eq!(next(GIVE_UP - wait), Next::Retry(wait));
        assert_eq!(next(GIVE_UP), Next::GiveUp(Duration::ZERO));
    }
}
