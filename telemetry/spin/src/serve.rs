//! Serves a request and reports it.

use crate::{
    App, Incoming,
    in_flight::InFlight,
    report,
    response::to_wasi,
    settings::{Mode, SettingsError},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use serde_json::json;
use spin_sdk::wasip3::http::types::{self, ErrorCode};
use telemetry::{RouteCatalogue, inline};

/// Has `handler` answer a request, and counts it: here, or by headers for the host in front.
///
/// The result is a response of `#[http_service]`, and of a component that exports `wasi:http/handler` itself.
///
/// # Errors
/// If the host refuses the response, such as for a header that it does not allow.
pub async fn serve<Q: Incoming, B>(
    app: &'static App,
    request: Q,
    handler: impl AsyncFnOnce(Q) -> Response<B>,
) -> Result<types::Response, ErrorCode>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + 'static,
{
    // Before the first await: if another request panics meanwhile, the panic hook must know this one.
    let mut in_flight = InFlight::begin(request.method(), report::record);
    let mode = match report::mode(app).await {
        Ok(mode) => mode,
        Err(error) => return to_wasi(misconfigured(&error), None),
    };
    if *mode == Mode::Inline && asks_for_catalogue(&request) {
        return to_wasi(catalogue(app), None);
    }
    let mut response = in_flight.scope(handler(request)).await;
    match &*mode {
        Mode::Otlp { .. } => {
            in_flight.answer(response.status().as_u16());
            to_wasi(response, Some(in_flight))
        }
        Mode::Inline => {
            let (route, exception) = in_flight.named();
            let headers = response.headers_mut();
            let named = [
                (inline::ROUTE_HEADER, Some(route)),
                (inline::ERROR_HEADER, exception),
            ];
            for (name, value) in named {
                // A name that no header can carry is left out: the request counts under its trigger.
                if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                    headers.insert(name, value);
                }
            }
            to_wasi(response, None)
        }
        Mode::Off => to_wasi(response, None),
    }
}

fn asks_for_catalogue(request: &impl Incoming) -> bool {
    request.target().ends_with(inline::DESCRIBE_PATH) && request.has_header(inline::DESCRIBE_HEADER)
}

fn catalogue(app: &App) -> Response<Full<Bytes>> {
    let body = (app.catalogue)().to_json();
    respond(StatusCode::OK, RouteCatalogue::CONTENT_TYPE, body)
}

fn misconfigured(error: &SettingsError) -> Response<Full<Bytes>> {
    eprintln!(
        "{}",
        json!({ "level": "error", "message": error.to_string() })
    );
    let body = r#"{"error":"the service is misconfigured"}"#.into();
    respond(StatusCode::INTERNAL_SERVER_ERROR, "application/json", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
