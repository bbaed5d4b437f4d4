//! Compares what a host saw of late with what its components reported, by when the requests ended.

use std::collections::BTreeMap;

/// Seconds until a request counts: its span and its batch have come by then.
const SETTLED: u64 = 60;
/// Seconds that are compared.
const WINDOW: u64 = 300;
/// How far ahead a sender's clock may be, in seconds.
const SKEW: u64 = 60;

/// Requests per second of the last minutes.
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
    /// Notes a request that a host saw end.
    pub(super) fn host_saw(&mut self, end_unix_seconds: u64, now_unix_seconds: u64) {
        if let Some(seen) = self.second(end_unix_seconds, now_unix_seconds) {
            seen.by_host += 1;
        }
    }

    /// Notes requests that a component reported.
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

    /// Returns by how much the host's count is the larger. The other way says nothing: a host drops spans under load.
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
    fn only_what_has_settled_is_compared_and_only_one_way() {
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
