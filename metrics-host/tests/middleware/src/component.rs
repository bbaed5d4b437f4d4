//! Request headers ask for more, and response headers say what came of it.

use bytes::Bytes;
use spin_sdk::{
    http::{
        BoxBody, EmptyBody, Error, FullBody, HeaderValue, Request, Response, StatusCode, box_body,
        next, send,
    },
    http_service,
    key_value::Store,
};

#[http_service]
async fn handle(mut request: Request) -> Result<Response<BoxBody>, Error> {
    let asked = request.headers_mut();
    // A guest cannot send these on.
    for name in ["connection", "host", "transfer-encoding"] {
        asked.remove(name);
    }
    let wanted = |name: &str| Some(asked.get(name)?.to_str().ok()?.to_owned());
    assert!(wanted("middleware-trap").is_none(), "on purpose");
    if wanted("middleware-refuse").is_some() {
        let mut response = Response::new(box_body(FullBody::new(Bytes::from("refused"))));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return Ok(response);
    }
    let mut found = Vec::new();
    if let Some(name) = wanted("middleware-environment") {
        let variable = std::env::var(name);
        found.push(("middleware-environment", value(format!("{variable:?}"))));
    }
    if let Some(label) = wanted("middleware-store") {
        let opened = Store::open(label).await.map(|_| "opened");
        found.push(("middleware-store", value(format!("{opened:?}"))));
    }
    if let Some(url) = wanted("middleware-send") {
        let sent = send(Request::get(url).body(EmptyBody::new())?).await;
        let sent = sent.map(|response| response.status());
        found.push(("middleware-send", value(format!("{sent:?}"))));
    }
    let response = next(request).await?;
    let (mut parts, body) = response.into_parts();
    for (name, value) in found {
        parts.headers.append(name, value);
    }
    parts
        .headers
        .append("middleware", HeaderValue::from_static("passed"));
    Ok(Response::from_parts(parts, box_body(body)))
}

/// Returns the text as a header; errors have line breaks.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text.replace('\n', " ")).unwrap_or(HeaderValue::from_static("?"))
}
