//! One JSON object per event, on stderr.

use crate::config::ConfigError;
use tracing_subscriber::EnvFilter;

/// Starts logging what `directives` (such as `info` or `info,metrics_host=debug`) ask for.
///
/// # Errors
/// If they are not understood.
pub fn start(directives: &str) -> Result<(), ConfigError> {
    let filter = EnvFilter::builder()
        .parse(directives)
        .map_err(|error| ConfigError::Flag {
            flag: "log-level",
            reason: format!("{directives:?}: {error}"),
        })?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
