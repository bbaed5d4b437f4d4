//! `GET /metrics`: what was counted, and the host about itself, in the Prometheus text format.

mod families;

use crate::{aggregate::Aggregate, self_stats::SelfStats};
use flate2::{Compression, write::GzEncoder};
use prometheus::{Encoder, TextEncoder};
use std::io::{self, Write};

/// Content type of the page.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Renders the page. What it shows of the application is on disk, so this can wait for the disk.
///
/// # Errors
/// Never in practice: the page is written to memory.
pub fn render(aggregate: &Aggregate, stats: &SelfStats) -> io::Result<Vec<u8>> {
    let (snapshot, synced) = aggregate.durable_snapshot();
    if let Err(error) = synced {
        stats.sync_failures.inc();
        tracing::error!(%error, "counters did not reach the disk; /metrics shows the last that did");
    }
    stats
        .series
        .set(i64::try_from(aggregate.series()).unwrap_or(i64::MAX));
    let mut families = families::of(&snapshot);
    families.extend(stats.gather());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut page = Vec::with_capacity(64 << 10);
    TextEncoder::new()
        .encode(&families, &mut page)
        .map_err(io::Error::other)?;
    Ok(page)
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
