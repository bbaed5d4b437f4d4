//! Events that repeat within a minute are counted instead of written, so that a storm of errors cannot fill a disk.
//!
//! The first events of a kind in a minute are written. At the end of the minute, and at shutdown, one line per kind says
//! how many more there were: the message and the fields of the kind, with `repeated`. Events are of one kind if they
//! differ only in the fields [`VARYING`].

use metric::IntCounter;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, interval_at};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Directive, layer::Context};

/// Target of the summaries.
const TARGET: &str = "metrics_host::repeats";
/// Target of what guests write to stdout and stderr.
const GUEST: &str = "guest";
const MINUTE: Duration = Duration::from_secs(60);
/// Fields that differ between events of one kind.
const VARYING: [&str; 4] = ["request_id", "instance", "path", BACKTRACE];
const BACKTRACE: &str = "backtrace";
/// Events of a kind that are written in a minute; of a guest's line; and of an event with a backtrace.
const WRITTEN: u64 = 10;
const WRITTEN_LINES: u64 = 60;
const WRITTEN_BACKTRACES: u64 = 1;
/// Kinds that are told apart in a minute, of the host's events and of guests' lines. Further events of the host are one
/// kind. Further lines of guests are written: they are the application's log.
const MAX_KINDS: usize = 1000;
const FURTHER: &str = "further events";

/// Filter that counts repeats.
#[derive(Clone)]
pub(super) struct Repeats(Arc<Inner>);

struct Inner {
    minute: Mutex<Minute>,
    repeated: IntCounter,
}

/// The events of a minute.
#[derive(Default)]
struct Minute {
    host: HashMap<Kind, u64>,
    guests: HashMap<Kind, u64>,
}

/// The fields that all events of one kind share.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, String)>,
    has_backtrace: bool,
}

impl Repeats {
    /// Creates the filter. `repeated` counts the events that are not written.
    pub(super) fn new(repeated: IntCounter) -> Self {
        Self(Arc::new(Inner {
            minute: Mutex::default(),
            repeated,
        }))
    }

    /// Writes summaries for ever.
    pub(super) async fn summarize_each_minute(self) {
        let mut minutes = interval_at(Instant::now() + MINUTE, MINUTE);
        loop {
            minutes.tick().await;
            self.summarize();
        }
    }

    /// Writes how often each kind was repeated, and begins a new minute.
    pub(super) fn summarize(&self) {
        let Minute { host, guests } = std::mem::take(&mut *self.minute());
        for (kind, count) in host.into_iter().chain(guests) {
            let repeated = count.saturating_sub(kind.limit());
            if repeated > 0 {
                kind.summarize(repeated);
            }
        }
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.0.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() == TARGET {
            return true;
        }
        let kind = Kind::of(event);
        let limit = kind.limit();
        let is_written = self.minute().count(kind).is_none_or(|count| count <= limit);
        if !is_written {
            self.0.repeated.inc();
        }
        is_written
    }
}

impl Minute {
    /// Counts an event, and returns how many of its kind there were; `None` if that is not known.
    fn count(&mut self, kind: Kind) -> Option<u64> {
        let is_guest = kind.target == GUEST;
        let kinds = match is_guest {
            true => &mut self.guests,
            false => &mut self.host,
        };
        let kind = match kinds.len() < MAX_KINDS || kinds.contains_key(&kind) {
            true => kind,
            false if is_guest => return None,
            false => kind.further(),
        };
        let count = kinds.entry(kind).or_default();
        *count += 1;
        Some(*count)
    }
}

impl Kind {
    fn of(event: &Event<'_>) -> Self {
        let mut kind = Self {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Vec::new(),
            has_backtrace: false,
        };
        event.record(&mut kind);
        kind
    }

    /// The kind of events for which there is no room.
    fn further(self) -> Self {
        Self {
            message: FURTHER.into(),
            target: module_path!(),
            fields: Vec::new(),
            has_backtrace: false,
            ..self
        }
    }

    fn limit(&self) -> u64 {
        match self {
            Self {
                has_backtrace: true,
                ..
            } => WRITTEN_BACKTRACES,
            Self { target: GUEST, .. } => WRITTEN_LINES,
            Self { .. } => WRITTEN,
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| *field == name);
        field.map(|(_, value)| value.as_str())
    }

    fn summarize(&self, repeated: u64) {
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET,
                    Level::$level,
                    repeated,
                    source = self.target,
                    component = self.field("component"),
                    stream = self.field("stream"),
                    method = self.field("method"),
                    route = self.field("route"),
                    status = self.field("status").and_then(|status| status.parse::<u64>().ok()),
                    trap = self.field("trap"),
                    error = self.field("error"),
                    reason = self.field("reason"),
                    add = self.field("add"),
                    "{}",
                    self.message
                )
            };
        }
        match self.level {
            Level::ERROR => event!(ERROR),
            Level::WARN => event!(WARN),
            Level::INFO => event!(INFO),
            Level::DEBUG => event!(DEBUG),
            Level::TRACE => event!(TRACE),
        }
    }
}

impl Visit for Kind {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => {
                self.has_backtrace |= name == BACKTRACE;
                if !VARYING.contains(&name) {
                    self.fields.push((name, format!("{value:?}")));
                }
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Returns the directive that lets summaries through whatever the level: they speak for events that passed the filter.
pub(super) fn always() -> Directive {
    format!("{TARGET}=trace")
        .parse()
        .expect("a target and a level are a directive")
}
