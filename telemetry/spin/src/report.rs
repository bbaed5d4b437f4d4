//! The sender of this instance, once the variables are read.

use crate::{
    App,
    in_flight::take_interrupted,
    outbox::KeyValueOutbox,
    settings::{Mode, SettingsError},
    transport::{Http, WasiClock},
};
use serde_json::json;
use spin_sdk::{variables, wasip3};
use std::{
    cell::{OnceCell, RefCell},
    panic,
    rc::Rc,
    time::Instant,
};
use telemetry::{
    Observation, Resource, RouteCatalogue,
    sender::{Notice, Sender},
};

thread_local! {
    /// Set once the variables are read; they do not change during an instance's life.
    static MODE: OnceCell<Rc<Mode>> = const { OnceCell::new() };
    static REPORTER: OnceCell<Reporter> = const { OnceCell::new() };
    /// Requests that ended before the variables were read.
    static EARLY: RefCell<Vec<Observation>> = const { RefCell::new(Vec::new()) };
}

/// Reports what this instance counts of one component to a sidecar. Clones share their counts.
#[derive(Clone)]
pub struct Reporter(Rc<Sender<Http, KeyValueOutbox, WasiClock>>);

impl Reporter {
    /// Starts to report to the sidecar at `host` (`host:port`). The first batch declares the series of `catalogue`.
    /// `resource` gets a random instance id.
    pub fn start(resource: Resource, catalogue: &RouteCatalogue, host: &str) -> Self {
        let outbox = KeyValueOutbox::open();
        if let Some(reason) = outbox.error() {
            log(&Notice {
                message: "no outbox: a panic, or an outage, loses unsent telemetry",
                batch: None,
                reason,
            });
        }
        let transport = Http {
            address: host.into(),
        };
        let clock = WasiClock {
            start: Instant::now(),
        };
        let means = (transport, outbox, clock);
        Self(Rc::new(Sender::new(
            resource,
            catalogue,
            host.into(),
            means,
            log,
        )))
    }

    /// Counts a request, and makes sure that it is sent.
    pub fn record(&self, observation: Observation) {
        if self.0.record(observation) {
            let sender = Rc::clone(&self.0);
            wasip3::spawn(async move { sender.flush().await });
        }
    }
}

/// Returns how to report, and starts the sender with the first request.
pub(crate) async fn mode(app: &App) -> Result<Rc<Mode>, SettingsError> {
    if let Some(known) = MODE.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let get = async |name: &str| {
        let value = variables::get(name).await;
        value.map_err(|error| error.to_string())
    };
    let read = Rc::new(Mode::read(get).await?);
    let mut first = false;
    let mode = MODE.with(|cell| {
        let mode = cell.get_or_init(|| {
            first = true;
            read
        });
        Rc::clone(mode)
    });
    if first {
        if let Mode::Otlp { host } = &*mode {
            start(app, host);
        }
        EARLY.take().into_iter().for_each(record);
    }
    Ok(mode)
}

/// Starts to report, and installs a panic hook that saves unsent telemetry.
fn start(app: &App, host: &str) {
    let resource = Resource {
        service_name: app.service.into(),
        service_version: app.version.into(),
        component: app.component.into(),
        instance: String::new(),
    };
    let reporter = Reporter::start(resource, &(app.catalogue)(), host);
    REPORTER.with(|cell| _ = cell.set(reporter));
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        if let Ok(Some(reporter)) = REPORTER.try_with(|cell| cell.get().cloned()) {
            reporter.0.rescue(take_interrupted());
        }
    }));
}

/// Returns whether this component counts its own requests, or does not know yet.
pub(crate) fn may_count() -> bool {
    MODE.with(|cell| {
        cell.get()
            .is_none_or(|mode| matches!(**mode, Mode::Otlp { .. }))
    })
}

/// Counts a request, if this component counts its own.
pub(crate) fn record(observation: Observation) {
    if let Some(reporter) = REPORTER.with(|cell| cell.get().cloned()) {
        reporter.record(observation);
    } else if MODE.with(|mode| mode.get().is_none()) {
        EARLY.with_borrow_mut(|early| early.push(observation));
    }
}

fn log(notice: &Notice<'_>) {
    let batch = notice.batch;
    eprintln!(
        "{}",
        json!({
            "level": "warn",
            "message": notice.message,
            "key": batch.map(|batch| batch.key.to_string()),
            "requests": batch.map(|batch| batch.requests),
            "reason": notice.reason,
        })
    );
}
