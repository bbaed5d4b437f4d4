//! Log lines about refused streams: one for each stream and reason, however often it is refused.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// Maximum number of log lines.
const MAX_LINES: usize = 1000;

/// The streams in the log.
#[derive(Debug, Default)]
pub(crate) struct RefusedStreams(Mutex<HashSet<(&'static str, String)>>);

impl RefusedStreams {
    /// Logs those of `streams` that are new, each with the reason.
    pub(crate) fn log(&self, streams: &[(&'static str, String)]) {
        if streams.is_empty() {
            return;
        }
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for refused @ (reason, stream) in streams {
            if logged.len() == MAX_LINES || logged.contains(refused) {
                continue;
            }
            logged.insert(refused.clone());
            tracing::warn!(
                reason,
                stream,
                "data points refused; the next ones of this stream are only counted"
            );
            if logged.len() == MAX_LINES {
                tracing::warn!("too many streams were refused; others are only counted");
            }
        }
    }
}
