//! Keeps the log lines about failed requests for the status page.

use jiff::Timestamp;
use operations::{RecentErrors, RequestError};
use std::fmt::{self, Write};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Layer that keeps every written error that has the id of a request.
pub(super) struct Errors(pub(super) RecentErrors);

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        if let Some(error) = line.error() {
            self.0.record(error);
        }
    }
}

/// The fields of an event.
#[derive(Default)]
struct Line {
    error: RequestError,
    message: String,
    others: String,
}

impl Line {
    /// Returns the error, if the event is about a request.
    fn error(self) -> Option<RequestError> {
        let Self {
            error,
            message,
            others,
        } = self;
        (!error.request_id.is_empty()).then(|| RequestError {
            at: Timestamp::now(),
            line: message + &others,
            ..error
        })
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            "method" => self.error.method = text,
            "route" => self.error.route = text,
            "status" => self.error.status = text,
            "request_id" => self.error.request_id = text,
            // It may hold a secret, and everyone who can see the page could read it.
            "path" => {}
            name => _ = write!(self.others, " {name}={text}"),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    #[test]
    fn an_error_with_a_request_id_is_kept_without_the_path() {
        let errors = RecentErrors::default();
        let log = Registry::default().with(Errors(errors.clone()));
        tracing::subscriber::with_default(log, || {
            tracing::error!(
                method = "GET",
                route = "/items/:id",
                path = "/items/secret",
                status = 500,
                instance = None::<&str>,
                request_id = "a-1",
                trap = Some("7"),
                "the component trapped"
            );
            tracing::error!(route = "/items/:id", "without an id");
            tracing::warn!(request_id = "a-2", "no error");
        });
        let kept = format!("{errors:?}");
        for part in [
            "/items/:id",
            "GET",
            "500",
            "a-1",
            "the component trapped trap=7",
        ] {
            assert!(kept.contains(part), "{part}: {kept}");
        }
        for part in ["secret", "without an id", "a-2"] {
            assert!(!kept.contains(part), "{part}: {kept}");
        }
    }
}
