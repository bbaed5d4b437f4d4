//! `GET /metrics`: what was counted, and the host about itself, in the Prometheus text format.

mod families;

use crate::{
    edge_counts::EdgeCounts, journal::Journal, metric, request_counts::RequestCounts,
    self_stats::SelfStats,
};
use flate2::{Compression, write::GzEncoder};
use prometheus::{Encoder, TextEncoder};
use std::{
    io::{self, Write},
    sync::Arc,
    time::SystemTime,
};

/// Content type of the page.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All that is shown.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Requests that were answered here.
    pub counts: Arc<EdgeCounts>,
    /// What was reported over OTLP.
    pub journal: Arc<Journal>,
    /// The host about itself.
    pub stats: Arc<SelfStats>,
}

impl Sources {
    /// Returns the requests of the application, whoever counted them. They are on disk, so this can wait for the disk.
    pub fn request_counts(&self) -> RequestCounts {
        let (mut counts, synced) = self.counts.durable_snapshot();
        if let Err(error) = synced {
            self.stats.sync_failures.inc();
            tracing::error!(%error, "counters did not reach the disk; the last that did are shown");
        }
        counts.merge(&self.journal.state().component);
        counts
    }

    /// Returns the same as of now, from memory: for what may show a count that the next power loss takes back.
    pub fn latest_counts(&self) -> RequestCounts {
        let mut counts = self.counts.latest();
        counts.merge(&self.journal.state().component);
        counts
    }
}

/// Renders the page. What it shows of the application is on disk, so this can wait for the disk.
///
/// # Errors
/// Never in practice: the page is written to memory.
pub fn render(sources: &Sources) -> io::Result<Vec<u8>> {
    let stats = &sources.stats;
    let counts = sources.request_counts();
    stats.series.set(gauge(counts.series()));
    let mut families = families::of_application(&counts);
    {
        let state = sources.journal.state();
        families.extend(families::of_requests(
            [metric::HOST_REQUESTS, metric::HOST_DURATION],
            &state.host,
        ));
        families.push(families::single(metric::LOST_REQUESTS, state.lost_requests));
        families.extend(families::of_otlp(&state.otlp));
        stats.otlp_series.set(gauge(state.otlp.series()));
        stats.otlp_streams.set(gauge(state.otlp.streams()));
        stats
            .senders
            .set(i64::try_from(state.senders).unwrap_or(i64::MAX));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let gap = state.host_gap(now.unwrap_or_default().as_secs());
        stats.host_gap.set(i64::try_from(gap).unwrap_or(i64::MAX));
    }
    let size = sources.journal.size();
    stats
        .journal_size
        .set(i64::try_from(size).unwrap_or(i64::MAX));
    families.extend(stats.gather());
    // A family without series has nothing to say, and no encoder for it.
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut page = Vec::with_capacity(64 << 10);
    TextEncoder::new()
        .encode(&families, &mut page)
        .map_err(io::Error::other)?;
    Ok(page)
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Compresses `page`.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn gzip(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

/// Returns whether an `Accept-Encoding` takes gzip: `q=0` refuses it.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refused = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|quality| quality.parse() == Ok(0.0));
        coding.eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_when_asked_for() {
        for accepted in ["gzip", "deflate, GZIP;q=0.5", "br;q=1.0, gzip"] {
            assert!(accepts_gzip(accepted), "{accepted}");
        }
        for refused in ["", "identity", "gzip;q=0", "br, gzip; q=0.000"] {
            assert!(!accepts_gzip(refused), "{refused}");
        }
    }
}
