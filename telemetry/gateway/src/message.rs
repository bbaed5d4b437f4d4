//! Requests and responses as the host's resources. They are made anew only where telemetry headers must be taken off.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use spin_sdk::{
    http::IntoResponse,
    wasip3::{
        self,
        http::types::{ErrorCode, Headers, Method, Request, Response},
        wit_future,
    },
};
use std::borrow::Cow;
use telemetry::inline;

/// The headers of a message, and those of telemetry among them.
pub(crate) struct Marked {
    headers: Headers,
    telemetry: Vec<(String, Vec<u8>)>,
}

impl Marked {
    pub(crate) fn of(headers: Headers) -> Self {
        let mut telemetry = headers.copy_all();
        telemetry.retain(|(name, _)| name.starts_with(inline::PREFIX));
        Self { headers, telemetry }
    }

    pub(crate) fn route(&self) -> Option<&str> {
        let route = self.first(inline::ROUTE_HEADER)?;
        let route = str::from_utf8(route).ok();
        route.filter(|route| !route.is_empty())
    }

    pub(crate) fn exception(&self) -> Option<Cow<'_, str>> {
        let class = self.first(inline::ERROR_HEADER)?;
        // An exception without a class is one, too; the name is that of OpenTelemetry.
        Some(match class {
            [] => "_OTHER".into(),
            class => String::from_utf8_lossy(class),
        })
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.telemetry.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| &**value)
    }

    /// Returns the headers without those of telemetry.
    fn clean(self) -> Headers {
        let rest = self.headers.clone();
        for (name, _) in &self.telemetry {
            // A name that occurs twice is deleted twice.
            _ = rest.delete(name);
        }
        rest
    }
}

/// Takes the telemetry headers of a client off its request.
pub(crate) fn clean_request(request: Request) -> Request {
    let headers = Marked::of(request.get_headers()).clean();
    let (method, path) = (request.get_method(), request.get_path_with_query());
    let (result, ended) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, ended);
    let (clean, sent) = Request::new(headers, Some(body), trailers, None);
    clean
        .set_method(&method)
        .and_then(|()| clean.set_path_with_query(path.as_deref()))
        .expect("they were a request's before");
    wasip3::spawn(async move { _ = result.write(sent.await).await });
    clean
}

/// Takes the telemetry headers of the component off its response.
pub(crate) fn clean_response(response: Response, status: u16, marked: Marked) -> Response {
    // A new response cannot have a status beyond 599, which a component of WASI 0.2 can give.
    if marked.telemetry.is_empty() || status > 599 {
        return response;
    }
    let headers = marked.clean();
    let (result, ended) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, ended);
    let (clean, sent) = Response::new(headers, Some(body), trailers);
    let set = clean.set_status_code(status);
    set.expect("it is a response's");
    wasip3::spawn(async move { _ = result.write(sent.await).await });
    clean
}

/// Returns a method as text.
pub(crate) fn method(method: Method) -> String {
    match method {
        Method::Get => "GET".into(),
        Method::Head => "HEAD".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Connect => "CONNECT".into(),
        Method::Options => "OPTIONS".into(),
        Method::Trace => "TRACE".into(),
        Method::Patch => "PATCH".into(),
        Method::Other(name) => name,
    }
}

/// Returns a response with an error for the client.
pub(crate) fn error(status: StatusCode, message: &str) -> Result<Response, ErrorCode> {
    let body = serde_json::json!({ "error": message }).to_string();
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.into_response()
}
