//! Latencies, every one of them.

use std::time::Duration;

/// How long each request took.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Returns the latencies that the parts `shares` of all requests do not exceed, in milliseconds.
    pub fn quantiles_millis<const N: usize>(mut self, shares: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        shares.map(|share| {
            let rank = (share * self.0.len() as f64).ceil() as usize;
            let latency = self.0.get(rank.saturating_sub(1));
            latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_latency_that_its_share_does_not_exceed() {
        let mut latencies = Latencies::default();
        (1..=1000)
            .rev()
            .for_each(|millis| latencies.push(Duration::from_millis(millis)));
        assert_eq!(
            latencies.quantiles_millis([0.5, 0.99, 0.999, 1.0]),
            [500.0, 990.0, 999.0, 1000.0]
        );
    }
}
