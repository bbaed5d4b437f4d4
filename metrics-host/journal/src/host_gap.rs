//! Compares recent requests in a host's spans with those that its components reported, by the time they ended.

use std::collections::BTreeMap;

/// Seconds until a request is compared: its span and its batch have arrived by then.
const SETTLED: u64 = 60;
/// Length of the comparison, in seconds.
const WINDOW: u64 = 300;
/// Maximum number of seconds that a sender's clock may be ahead.
const SKEW: u64 = 60;

/// Requests in each second of the last minutes.
#[derive(Debug, Default)]
pub(super) struct HostGap {
    seconds: BTreeMap<u64, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    by_host: u64,
    by_components: u64,
}

impl HostGap {
    /// Adds a request from a host's span.
    pub(super) fn host_saw(&mut self, end_unix_seconds: u64, now_unix_seconds: u64) {
        if let Some(seen) = self.second(end_unix_seconds, now_unix_seconds) {
            seen.by_host += 1;
        }
    }

    /// Adds requests that a component reported.
    pub(super) fn component_reported(
        &mut self,
        end_unix_seconds: u64,
        requests: u64,
        now_unix_seconds: u64,
    ) {
        if let Some(seen) = self.second(end_unix_seconds, now_unix_seconds) {
            seen.by_components = seen.by_components.saturating_add(requests);
        }
    }

    /// Returns the host's count minus the components' count, at least 0: a host drops spans under load, so a smaller
    /// count of its own means nothing.
    pub(super) fn at(&self, now_unix_seconds: u64) -> u64 {
        let end = now_unix_seconds.saturating_sub(SETTLED);
        let window = self.seconds.range(end.saturating_sub(WINDOW)..end);
        let (host, components) = window.fold((0u64, 0u64), |(host, components), (_, seen)| {
            (
                host.saturating_add(seen.by_host),
                components.saturating_add(seen.by_components),
            )
        });
        host.saturating_sub(components)
    }

    fn second(&mut self, second: u64, now: u64) -> Option<&mut Seen> {
        let oldest = now.saturating_sub(SETTLED + WINDOW);
        self.seconds = self.seconds.split_off(&oldest);
        (oldest..=now + SKEW)
            .contains(&second)
            .then(|| self.seconds.entry(second).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settled_requests_are_compared_and_the_gap_is_never_negative() {
        let now = 10_000;
        let mut gap = HostGap::default();
        for second in [
            now - SETTLED - WINDOW - 1,
            now - 100,
            now - 100,
            now - 90,
            now - 1,
        ] {
            gap.host_saw(second, now);
        }
        gap.component_reported(now - 99, 1, now);
        assert_eq!(gap.at(now), 2);
        assert_eq!(gap.at(now + SETTLED), 3);
        assert_eq!(gap.at(now + SETTLED + WINDOW), 0);
        gap.component_reported(now - 95, 50, now);
        assert_eq!(gap.at(now), 0);
        gap.host_saw(u64::MAX, now);
        assert!(gap.seconds.len() <= 5);
    }
}
