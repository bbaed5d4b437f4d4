//! Answers for browsers. Pages need no script, no frame and nothing from elsewhere, so all of that is forbidden.

use crate::reply;
use askama::Template;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// What a page may use: this server's style sheet and icon.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers with the page that `template` makes.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response<Full<Bytes>> {
    match template.render() {
        Ok(page) => asset(status, "text/html; charset=utf-8", page),
        Err(error) => {
            tracing::error!(%error, "cannot render a page");
            reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot render this page; see the log",
            )
        }
    }
}

/// Answers with the style sheet of all pages.
pub(crate) fn style() -> Response<Full<Bytes>> {
    let style = include_str!("../templates/style.css");
    asset(StatusCode::OK, "text/css; charset=utf-8", style)
}

/// Answers with the icon of all pages.
pub(crate) fn icon() -> Response<Full<Bytes>> {
    let icon = include_str!("../templates/icon.svg");
    asset(StatusCode::OK, "image/svg+xml", icon)
}

fn asset(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = reply::content(status, content_type, content);
    let headers: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
