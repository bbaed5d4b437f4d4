//! The log on stderr: lines for people in a terminal, elsewhere one JSON object per event.

mod errors;
mod repeats;

use crate::args::{LogFilter, LogFormat};
use errors::Errors;
use jiff::ZonedDateTime;
use metric::IntCounter;
use operations::RecentErrors;
use repeats::Repeats;
use std::{
    env, fmt,
    io::{self, IsTerminal},
};
use tokio::task::JoinSet;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Configuration of the log.
#[derive(Debug)]
pub(crate) struct LogConfig {
    pub(crate) filter: LogFilter,
    pub(crate) format: LogFormat,
}

/// The running log. Its last summary of repeats is written when it is dropped.
pub(crate) struct Log {
    repeats: Repeats,
    _summaries: JoinSet<()>,
}

/// Starts to log events. Those that repeat within a minute are counted, in `repeated` and in the log. Errors of requests
/// are also kept in `errors`.
pub(crate) fn start(config: &LogConfig, repeated: IntCounter, errors: RecentErrors) -> Log {
    let repeats = Repeats::new(repeated);
    let is_terminal = io::stderr().is_terminal();
    let as_text = match config.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    tracing_subscriber::registry()
        .with(config.filter.filter().add_directive(repeats::always()))
        .with(match as_text {
            true => text(is_terminal && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())),
            false => json(),
        })
        .with(Errors(errors))
        .with(repeats.clone())
        .init();
    let mut summaries = JoinSet::new();
    summaries.spawn(repeats.clone().summarize_each_minute());
    Log {
        repeats,
        _summaries: summaries,
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.repeats.summarize();
    }
}

type Format<S> = Box<dyn Layer<S> + Send + Sync>;

fn json<S>() -> Format<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr)
        .boxed()
}

fn text<S>(colours: bool) -> Format<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_timer(TimeOfDay)
        .with_target(false)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .boxed()
}

/// The local time without the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", ZonedDateTime::now().strftime("%H:%M:%S"))
    }
}
