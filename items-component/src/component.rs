//! The entry point: serves a WASI request and reports it to telemetry.

mod message;

use crate::{
    clock, emit,
    error::ApiError,
    in_flight::InFlight,
    response::{self, Reply},
    route,
    service::{Outcome, Request as _, Service},
    settings::{Settings, SettingsError, TelemetryMode},
    sqlite::SqliteStore,
};
use http::{HeaderName, HeaderValue, header};
use message::{WasiRequest, to_wasi};
use serde_json::json;
use spin_sdk::{
    variables,
    wasip3::{
        exports::http::handler::Guest,
        http::{
            service::export,
            types::{ErrorCode, Request, Response},
        },
    },
};
use std::{cell::OnceCell, error::Error, rc::Rc};
use telemetry::{RouteCatalogue, attribute, inline};

struct Component;

export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (reply, in_flight) = respond(WasiRequest::new(request)?).await;
        to_wasi(reply, in_flight)
    }
}

/// Returns the reply and, if this component counts the request itself, the guard that counts it.
async fn respond(request: WasiRequest) -> (Reply, Option<InFlight>) {
    // Before the first await: if another request panics meanwhile, the panic hook must know this one.
    let in_flight = may_send_batches().then(|| {
        let path = request.target().split('?').next().unwrap_or_default();
        InFlight::begin(request.method(), path)
    });
    let settings = match settings().await {
        Ok(settings) => settings,
        Err(error) => return (misconfigured(error), None),
    };
    match &settings.telemetry {
        TelemetryMode::Inline if asks_for_catalogue(&request) => (catalogue(), None),
        TelemetryMode::Inline => {
            let mut outcome = serve(request, &settings).await;
            add_inline_headers(&mut outcome);
            (outcome.reply, None)
        }
        TelemetryMode::Otlp { host } => {
            emit::start(host);
            let outcome = serve(request, &settings).await;
            let in_flight = in_flight.map(|in_flight| in_flight.complete(&outcome));
            (outcome.reply, in_flight)
        }
        TelemetryMode::Off => (serve(request, &settings).await.reply, None),
    }
}

async fn serve(request: WasiRequest, settings: &Settings) -> Outcome {
    let service = Service {
        store: SqliteStore,
        sleep: clock::sleep,
        fault_injection: settings.fault_injection,
    };
    let outcome = service.handle(request).await;
    // A client's mistake has neither class nor source: the reply says everything.
    if let Some(error) = &outcome.error
        && (error.class().is_some() || error.source().is_some())
    {
        log(outcome.template, error);
    }
    outcome
}

thread_local! {
    /// Cached, since variables do not change during an instance's life.
    static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
}

/// Returns whether this component counts its own requests, as far as is known: true until the settings are read.
fn may_send_batches() -> bool {
    SETTINGS.with(|known| {
        known
            .get()
            .is_none_or(|settings| matches!(settings.telemetry, TelemetryMode::Otlp { .. }))
    })
}

async fn settings() -> Result<Rc<Settings>, SettingsError> {
    if let Some(known) = SETTINGS.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let get = async |name| {
        variables::get(name)
            .await
            .map_err(|error| SettingsError::Unreadable {
                name,
                reason: error.to_string(),
            })
    };
    let settings = Settings::parse(
        &get("telemetry").await?,
        &get("telemetry_host").await?,
        &get("fault_injection").await?,
    )?;
    Ok(SETTINGS.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(settings)))))
}

fn misconfigured(error: SettingsError) -> Reply {
    let error = ApiError::Settings(error);
    log(attribute::UNMATCHED, &error);
    response::error(&error)
}

fn asks_for_catalogue(request: &WasiRequest) -> bool {
    request.target().ends_with(inline::DESCRIBE_PATH) && request.has_header(inline::DESCRIBE_HEADER)
}

fn catalogue() -> Reply {
    let mut reply = Reply::new(route::catalogue().to_json());
    let content_type = HeaderValue::from_static(RouteCatalogue::CONTENT_TYPE);
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    reply
}

fn add_inline_headers(outcome: &mut Outcome) {
    const ROUTE: HeaderName = HeaderName::from_static(inline::ROUTE_HEADER);
    const ERROR: HeaderName = HeaderName::from_static(inline::ERROR_HEADER);
    let class = outcome.error_class();
    let headers = outcome.reply.headers_mut();
    headers.insert(ROUTE, HeaderValue::from_static(outcome.template));
    if let Some(class) = class {
        headers.insert(ERROR, HeaderValue::from_static(class));
    }
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
