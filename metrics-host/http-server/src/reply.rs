//! Responses that the host itself gives.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

/// Returns a response whose body is `content` of `content_type`.
pub fn content(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Returns a response with a JSON body.
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    content(status, "application/json", body.to_string())
}

/// Returns `{"error": message}`.
pub fn error(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "error": message }))
}

/// Returns `{"error": message}` that asks to come back after `seconds`.
pub fn retry_after(status: StatusCode, message: &str, seconds: u32) -> Response<Full<Bytes>> {
    let mut response = error(status, message);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

/// Returns 405, naming the methods that are allowed.
pub fn method_not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("method not allowed; allowed: {allow}"),
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
