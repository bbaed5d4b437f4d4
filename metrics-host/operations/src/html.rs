//! Responses for browsers. Pages use no frames and nothing from other servers, and only the live pages use a script, so
//! the policies forbid the rest.

use askama::Template;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use http_server::reply;

/// Allows only this server's style sheet and icon.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Allows also this server's script, and that it fetches the page again.
const LIVE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Renders `template` as a page that updates itself.
pub(crate) fn live_page(status: StatusCode, template: &impl Template) -> Response<Full<Bytes>> {
    let mut response = page(status, template);
    let policy = HeaderValue::from_static(LIVE_POLICY);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Renders `template` as a page.
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

/// Returns the style sheet of all pages.
pub(crate) fn style() -> Response<Full<Bytes>> {
    let style = include_str!("../templates/style.css");
    asset(StatusCode::OK, "text/css; charset=utf-8", style)
}

/// Returns the script of the pages that update themselves.
pub(crate) fn script() -> Response<Full<Bytes>> {
    let script = include_str!("../templates/live.js");
    asset(StatusCode::OK, "text/javascript; charset=utf-8", script)
}

/// Returns the icon of all pages.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// Relative luminance of `#rrggbb`, as WCAG 2 defines it.
    fn luminance(colour: &str) -> f64 {
        let channel = |index: usize| {
            let value = u8::from_str_radix(&colour[index..index + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn text_and_lines_have_enough_contrast_in_light_and_dark() {
        let style = include_str!("../templates/style.css");
        let themes: Vec<BTreeMap<_, _>> = style
            .split(":root {")
            .skip(1)
            .map(|block| {
                let block = block.split_once('}').unwrap().0;
                let colours = block
                    .lines()
                    .filter_map(|line| line.trim().split_once(": #"));
                let colours = colours
                    .map(|(name, value)| (name, format!("#{}", value.trim_end_matches(';'))));
                colours.collect()
            })
            .collect();
        assert_eq!(themes.len(), 2);
        for theme in themes {
            let contrast = |text: &str, ground: &str| {
                let (a, b) = (luminance(&theme[text]), luminance(&theme[ground]));
                (a.max(b) + 0.05) / (a.min(b) + 0.05)
            };
            let everywhere = ["--ink", "--quiet", "--link", "--good", "--bad", "--warn"];
            let lines = ["--series-1", "--series-2", "--series-3"];
            for text in everywhere.into_iter().chain(lines) {
                for ground in ["--page", "--card"] {
                    let found = contrast(text, ground);
                    assert!(found >= 4.5, "{text} on {ground}: {found:.2}");
                }
            }
            for (text, ground) in [
                ("--bad", "--bad-soft"),
                ("--ink", "--bad-soft"),
                ("--quiet", "--bad-soft"),
                ("--ink", "--warn-soft"),
            ] {
                let found = contrast(text, ground);
                assert!(found >= 4.5, "{text} on {ground}: {found:.2}");
            }
        }
    }
}
