//! The entry point: a WASI request in, a WASI response out, and the observation handed over.

use crate::{
    emit,
    error::ApiError,
    request::BodyError,
    response, route,
    service::{Answer, Head, Service},
    settings::{Settings, SettingsError, TelemetryMode},
    sqlite::SqliteStore,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::json;
use spin_sdk::{
    http::{FullBody, IncomingMessage, Request, Response, body::IncomingBodyExt},
    http_service, variables,
    wasip3::{clocks::monotonic_clock, http::types, http_compat::IncomingBody},
};
use std::{
    cell::OnceCell,
    error::Error,
    rc::Rc,
    time::{Duration, Instant},
};
use telemetry::{Observation, Series, Vocabulary, attribute, inline};

#[http_service]
async fn handle(request: Request) -> Response<FullBody<Bytes>> {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let settings = match settings().await {
        Ok(settings) => settings,
        Err(error) => return to_wasi(misconfigured(error).reply),
    };
    if settings.telemetry == TelemetryMode::Inline
        && head.headers.contains_key(inline::DESCRIBE_HEADER)
    {
        return describe();
    }
    let service = Service {
        store: SqliteStore,
        sleep,
        fault_injection: settings.fault_injection,
    };
    let view = Head {
        method: &head.method,
        uri: &head.uri,
        headers: &head.headers,
    };
    let mut answer = service
        .answer(view, async |limit| read(body, limit).await)
        .await;
    let class = answer.error.as_ref().and_then(ApiError::class);
    if let (Some(class), Some(error)) = (class, &answer.error) {
        log(answer.template, class, error);
    }
    match &settings.telemetry {
        TelemetryMode::Inline => tell_inline(answer.reply.headers_mut(), answer.template, class),
        TelemetryMode::Otlp { host } => {
            let status = answer.reply.status().as_u16();
            let observation = Observation {
                series: Series::new(head.method.as_str(), answer.template, status, class),
                duration: arrived.elapsed(),
            };
            emit::record(observation, host);
        }
        TelemetryMode::Off => {}
    }
    to_wasi(answer.reply)
}

/// Reads the variables once: they stay the same while an instance lives.
async fn settings() -> Result<Rc<Settings>, SettingsError> {
    thread_local! {
        static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
    }
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
    log(attribute::UNMATCHED, "settings", &error);
    Answer {
        reply: response::error(&error),
        template: attribute::UNMATCHED,
        error: Some(error),
    }
}

fn describe() -> Response<FullBody<Bytes>> {
    let mut response = Response::new(FullBody::new(Bytes::from(route::vocabulary().to_json())));
    let content_type = HeaderValue::from_static(Vocabulary::CONTENT_TYPE);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn tell_inline(headers: &mut HeaderMap, template: &'static str, class: Option<&'static str>) {
    const ROUTE: HeaderName = HeaderName::from_static(inline::ROUTE_HEADER);
    const ERROR: HeaderName = HeaderName::from_static(inline::ERROR_HEADER);
    headers.insert(ROUTE, HeaderValue::from_static(template));
    if let Some(class) = class {
        headers.insert(ERROR, HeaderValue::from_static(class));
    }
}

async fn read<T: IncomingMessage>(
    body: IncomingBody<T>,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    use futures::StreamExt;
    let mut content = Vec::new();
    let mut pieces = body.stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_: types::ErrorCode| BodyError::Unreadable)?;
        if content.len() + piece.len() > limit {
            return Err(BodyError::TooLarge);
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

async fn sleep(delay: Duration) {
    monotonic_clock::wait_for(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)).await;
}

fn to_wasi(reply: response::Reply) -> Response<FullBody<Bytes>> {
    reply.map(|body| FullBody::new(Bytes::from(body)))
}

/// Writes what the client is not told to stderr, which the host forwards.
fn log(template: &str, class: &str, error: &ApiError) {
    let cause = error.source().map(ToString::to_string);
    eprintln!(
        "{}",
        json!({ "level": "error", "route": template, "error": class, "cause": cause })
    );
}
