//! Serves a request and reports it.

use crate::{
    App, Incoming,
    body::CountedBody,
    in_flight::InFlight,
    report,
    settings::{Mode, SettingsError},
};
use buffered_http::{IntoResponse, to_wasi};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use spin_sdk::wasip3::http::types::{self, ErrorCode};
use std::time::Instant;
use telemetry::{RouteCatalogue, inline};

/// Has `handler` answer a request, and counts it: here, or by headers for the host in front.
///
/// The result is a response of `#[http_service]`, and of a component that exports `wasi:http/handler` itself. Most
/// components need no such call: [`http_service!`](crate::http_service) makes it.
///
/// # Errors
/// If the handler returns one, or the host refuses the response, such as for a header that it does not allow.
pub async fn serve<Q: Incoming, R: IntoResponse>(
    app: &'static App,
    request: Q,
    handler: impl AsyncFnOnce(Q) -> R,
) -> Result<types::Response, ErrorCode> {
    to_wasi(respond(app, request, handler).await?)
}

/// As [`serve`], without the conversion of the response.
///
/// # Errors
/// If the handler returns one.
pub async fn respond<Q: Incoming, R: IntoResponse>(
    app: &'static App,
    request: Q,
    handler: impl AsyncFnOnce(Q) -> R,
) -> Result<Response<CountedBody<R::Body>>, ErrorCode> {
    // Before the first await: if another request panics meanwhile, the panic hook must know this one.
    let arrived = report::may_count().then(Instant::now);
    let mut in_flight = InFlight::begin(request.method(), arrived, report::record);
    let mode = match report::mode(app).await {
        Ok(mode) => mode,
        Err(error) => return Ok(misconfigured(&error)),
    };
    if *mode == Mode::Inline && asks_for_catalogue(&request) {
        return Ok(catalogue(app));
    }
    let response = in_flight.scope(handler(request)).await.into_response();
    let is_counted_here = matches!(*mode, Mode::Otlp { .. });
    if is_counted_here {
        // Hosts answer an error so.
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let status = response.as_ref().map_or(failed, Response::status);
        in_flight.answer(status.as_u16());
    }
    let mut response = response?;
    if *mode == Mode::Inline {
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
    }
    let in_flight = is_counted_here.then_some(in_flight);
    Ok(response.map(|body| CountedBody::of_handler(body, in_flight)))
}

fn asks_for_catalogue(request: &impl Incoming) -> bool {
    request.target().ends_with(inline::DESCRIBE_PATH) && request.has_header(inline::DESCRIBE_HEADER)
}

fn catalogue<B>(app: &App) -> Response<CountedBody<B>> {
    let body = (app.catalogue)().to_json();
    own_response(StatusCode::OK, RouteCatalogue::CONTENT_TYPE, body)
}

fn misconfigured<B>(error: &SettingsError) -> Response<CountedBody<B>> {
    eprintln!(
        "{}",
        json!({ "level": "error", "message": error.to_string() })
    );
    let body = r#"{"error":"the service is misconfigured"}"#.into();
    own_response(StatusCode::INTERNAL_SERVER_ERROR, "application/json", body)
}

fn own_response<B>(
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
) -> Response<CountedBody<B>> {
    let mut response = Response::new(CountedBody::own(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
