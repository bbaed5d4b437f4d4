//! The entry point: serves a request, and has it counted.

mod message;

use crate::{
    error::ApiError,
    response::{self, Reply},
    route,
    service::{Outcome, Service},
    settings::{Settings, SettingsError},
    sql::SqlStore,
};
use bytes::Bytes;
use http::Response;
use request_telemetry::{self as telemetry, Request, attribute};
use serde_json::json;
use spin_sdk::{http::FullBody, variables, wasip3::clocks::monotonic_clock};
use std::{cell::OnceCell, error::Error, rc::Rc, time::Duration};

static APP: telemetry::App = telemetry::App {
    service: "items",
    version: env!("CARGO_PKG_VERSION"),
    component: "items",
    catalogue: route::catalogue,
};

telemetry::http_service!(APP, serve);

async fn serve(request: Request) -> Response<FullBody<Bytes>> {
    let reply = match settings().await {
        Ok(settings) => answer(request, &settings).await,
        Err(error) => {
            let error = ApiError::Settings(error);
            log(attribute::UNMATCHED, &error);
            response::error(&error)
        }
    };
    reply.map(|body| FullBody::new(Bytes::from(body)))
}

async fn answer(request: Request, settings: &Settings) -> Reply {
    let service = Service {
        store: SqlStore(&settings.store),
        sleep: async |time: Duration| {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            monotonic_clock::wait_for(nanos).await;
        },
        fault_injection: settings.fault_injection,
    };
    let outcome: Outcome = service.handle(request).await;
    // A client's mistake has neither class nor source: the reply says everything.
    if let Some(error) = &outcome.error
        && (error.class().is_some() || error.source().is_some())
    {
        log(outcome.template, error);
    }
    outcome.reply
}

thread_local! {
    /// Cached, since variables do not change during an instance's life.
    static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
}

async fn settings() -> Result<Rc<Settings>, SettingsError> {
    if let Some(known) = SETTINGS.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let get = async |name: &'static str| {
        let value = variables::get(name).await;
        value.map_err(|error| error.to_string())
    };
    let read = Rc::new(Settings::read(get).await?);
    Ok(SETTINGS.with(|cell| Rc::clone(cell.get_or_init(|| read))))
}

/// Logs an error with its cause, which the client does not see, to stderr.
fn log(template: &str, error: &ApiError) {
    let cause = error.source().map(ToString::to_string);
    eprintln!(
        "{}",
        json!({
            "level": "error",
            "message": error.to_string(),
            "route": template,
            "error": error.class(),
            "cause": cause,
        })
    );
}
