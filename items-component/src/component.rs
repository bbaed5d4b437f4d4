//! The entry point: a WASI request in, a WASI response out, and the observation handed over.

mod message;

use crate::{
    emit,
    error::ApiError,
    in_flight::InFlight,
    response, route,
    service::{Answer, Request as _, Service},
    settings::{Settings, SettingsError, TelemetryMode},
    sqlite::SqliteStore,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use message::{WasiRequest, to_wasi};
use serde_json::json;
use spin_sdk::{
    variables,
    wasip3::{
        clocks::monotonic_clock,
        exports::http::handler::Guest,
        http::{
            service::export,
            types::{ErrorCode, Request, Response},
        },
    },
};
use std::{cell::OnceCell, error::Error, rc::Rc, time::Duration};
use telemetry::{Vocabulary, attribute, inline};

struct Component;

export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (reply, in_flight) = answer(WasiRequest::new(request)?).await;
        to_wasi(reply, in_flight)
    }
}

/// Returns the answer, and what counts the request once it was handed over, where this component counts it.
async fn answer(request: WasiRequest) -> (response::Reply, Option<InFlight>) {
    // Before anything is awaited: a neighbour may panic meanwhile, and counts the requests it knows of.
    let in_flight = sends_batches().then(|| InFlight::begin(request.method().as_str()));
    let settings = match settings().await {
        Ok(settings) => settings,
        Err(error) => return (misconfigured(error).reply, None),
    };
    match &settings.telemetry {
        TelemetryMode::Inline if asks_for_vocabulary(&request) => (describe(), None),
        TelemetryMode::Inline => {
            let mut answer = serve(request, &settings).await;
            let class = answer.error.as_ref().and_then(ApiError::class);
            tell_inline(answer.reply.headers_mut(), answer.template, class);
            (answer.reply, None)
        }
        TelemetryMode::Otlp { host } => {
            emit::start(host);
            let answer = serve(request, &settings).await;
            let class = answer.error.as_ref().and_then(ApiError::class);
            let in_flight = in_flight.map(|in_flight| {
                in_flight.answered(answer.template, answer.reply.status().as_u16(), class)
            });
            (answer.reply, in_flight)
        }
        TelemetryMode::Off => (serve(request, &settings).await.reply, None),
    }
}

async fn serve(request: WasiRequest, settings: &Settings) -> Answer {
    let service = Service {
        store: SqliteStore,
        sleep,
        fault_injection: settings.fault_injection,
    };
    let answer = service.answer(request).await;
    // The client's own mistakes have neither; it was told all there is to them.
    if let Some(error) = &answer.error
        && (error.class().is_some() || error.source().is_some())
    {
        log(answer.template, error);
    }
    answer
}

thread_local! {
    /// The variables, once they were read: they stay the same while an instance lives.
    static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
}

/// Returns whether this component counts its requests by itself, or may, for all that is known yet.
fn sends_batches() -> bool {
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

fn misconfigured(error: SettingsError) -> Answer {
    let error = ApiError::Settings(error);
    log(attribute::UNMATCHED, &error);
    Answer {
        reply: response::error(&error),
        template: attribute::UNMATCHED,
        error: Some(error),
    }
}

fn asks_for_vocabulary(request: &WasiRequest) -> bool {
    request.target().ends_with(inline::DESCRIBE_PATH) && request.has_header(inline::DESCRIBE_HEADER)
}

fn describe() -> response::Reply {
    let mut reply = response::Reply::new(route::vocabulary().to_json());
    let content_type = HeaderValue::from_static(Vocabulary::CONTENT_TYPE);
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    reply
}

fn tell_inline(headers: &mut HeaderMap, template: &'static str, class: Option<&'static str>) {
    const ROUTE: HeaderName = HeaderName::from_static(inline::ROUTE_HEADER);
    const ERROR: HeaderName = HeaderName::from_static(inline::ERROR_HEADER);
    headers.insert(ROUTE, HeaderValue::from_static(template));
    if let Some(class) = class {
        headers.insert(ERROR, HeaderValue::from_static(class));
    }
}

async fn sleep(delay: Duration) {
    monotonic_clock::wait_for(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)).await;
}

/// Writes what the client is not told to stderr, which the host forwards.
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
