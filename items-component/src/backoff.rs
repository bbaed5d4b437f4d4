//! How long to wait before a batch is sent again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// Returns the wait after `failures` attempts in a row (at least 1): doubled each time, at most ten seconds, and
/// spread over its upper half by `random`, so that instances which failed together do not return together.
pub fn delay(failures: u32, random: u64) -> Duration {
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
}
