//! When to retry a failed delivery, and when to give up.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);
/// An instance gives up after this time without a delivery.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);

/// The decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Retry after this delay.
    Retry(Duration),
    /// End this flush, and start no other during this pause, which the receiver asked for.
    GiveUp(Duration),
}

/// Decides what follows `failures` failed attempts in a row, `since_delivery` after the last delivery. A pause that the
/// receiver asked for (`retry_after`) is respected up to ten seconds.
pub(super) fn after_failure(
    failures: u32,
    random: u64,
    retry_after: Option<Duration>,
    since_delivery: Duration,
) -> Next {
    let pause = retry_after.unwrap_or_default().min(LONGEST);
    let wait = delay(failures, random).max(pause);
    if since_delivery + wait > GIVE_UP_AFTER {
        Next::GiveUp(pause)
    } else {
        Next::Retry(wait)
    }
}

/// Returns the delay after `failures` (at least 1) attempts in a row: exponential, at most ten seconds. `random` spreads
/// it over its upper half, so that instances that failed together do not retry together.
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
    fn delays_double_up_to_ten_seconds_with_jitter() {
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
    fn retry_after_is_respected_whether_waited_out_or_not() {
        let second = Duration::from_secs(1);
        let next = |pause, since| after_failure(1, 0, Some(pause), since);
        assert_eq!(next(second, Duration::ZERO), Next::Retry(second));
        assert_eq!(next(second, second * 2), Next::GiveUp(second));
        assert_eq!(next(second * 5, Duration::ZERO), Next::GiveUp(second * 5));
        assert_eq!(next(second * 3600, Duration::ZERO), Next::GiveUp(LONGEST));
    }

    #[test]
    fn attempts_end_after_two_seconds_without_a_delivery() {
        let wait = delay(1, 0);
        let next = |since| after_failure(1, 0, None, since);
        assert_eq!(next(GIVE_UP_AFTER - wait), Next::Retry(wait));
        assert_eq!(next(GIVE_UP_AFTER), Next::GiveUp(Duration::ZERO));
    }
}
