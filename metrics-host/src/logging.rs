//! One JSON object per event, on stderr.

use crate::args::LogFilter;

/// Starts logging the events that pass `filter`.
pub(crate) fn start(filter: &LogFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter.filter())
        .with_writer(std::io::stderr)
        .init();
}
