//! Web pages that may post across origins (CORS): no page may, unless its origin is named.
//!
//! Source: <https://fetch.spec.whatwg.org/#http-cors-protocol>

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, uri::Uri};
use http_body_util::Full;
use std::str::FromStr;

/// Seconds for which a browser remembers the answer to a preflight; Chromium's maximum.
const MAX_AGE: &str = "7200";

/// An origin as configured: `*`, or a scheme and a host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected * or an origin such as https://shop.example, without a path";
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        let uri = text.parse::<Uri>().map_err(|_| expected)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(expected);
        };
        let is_origin = text.ends_with(authority.as_str())
            && !authority.host().is_empty()
            && !authority.as_str().contains(['@', '*'])
            && (authority.port().is_some() || authority.as_str() == authority.host());
        // Browsers leave the default port out.
        let port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        let origin = text.strip_suffix(port).unwrap_or(text);
        is_origin
            .then(|| Self(origin.to_ascii_lowercase()))
            .ok_or(expected)
    }
}

/// The origins of web pages that may post.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Allows `origins`.
    pub fn new(origins: Vec<Origin>) -> Self {
        Self(origins)
    }

    /// Returns whether a page of the origin may post.
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        self.any() || self.names(origin)
    }

    /// Returns the answer to a preflight of an allowed origin; `None` if the request is not a preflight.
    pub fn preflight<B>(request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let asks = |name| request.headers().contains_key(name);
        if request.method() != Method::OPTIONS
            || !asks(header::ORIGIN)
            || !asks(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static(MAX_AGE),
        );
        // Senders may add headers of their own.
        if let Some(asked) = request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers.insert(
            header::VARY,
            HeaderValue::from_static(
                "access-control-request-method, access-control-request-headers",
            ),
        );
        Some(response)
    }

    /// Lets a page of an allowed origin read a response.
    pub fn expose(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        if self.names(origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            // `navigator.sendBeacon` always sends credentials, and older SDKs use it.
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        } else if self.any() {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
        }
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after"),
        );
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }

    fn any(&self) -> bool {
        self.0.iter().any(|origin| origin.0 == "*")
    }

    fn names(&self, origin: &HeaderValue) -> bool {
        let mut named = self.0.iter();
        named.any(|named| origin.as_bytes().eq_ignore_ascii_case(named.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_no_path() {
        for (text, expected) in [
            ("*", "*"),
            ("https://shop.example", "https://shop.example"),
            ("https://Shop.Example:443", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://shop.example:443", "http://shop.example:443"),
        ] {
            assert_eq!(text.parse(), Ok(Origin(expected.to_owned())), "{text}");
        }
        for text in [
            "",
            "null",
            "shop.example",
            "//shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example/app",
            "https://shop.example?a",
            "https://user@shop.example",
            "https://*.example",
            "https://shop.example:port",
            "https://a b",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    fn origins(names: &[&str]) -> Origins {
        Origins::new(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn only_named_origins_may_post() {
        let named = origins(&["https://a.example", "http://localhost:3000"]);
        for (origin, allowed) in [
            ("https://a.example", true),
            ("HTTPS://A.EXAMPLE", true),
            ("http://localhost:3000", true),
            ("http://a.example", false),
            ("https://a.example:8443", false),
            ("https://a.example.evil", false),
            ("https://b.a.example", false),
            ("null", false),
        ] {
            let origin = HeaderValue::from_static(origin);
            assert_eq!(named.allow(&origin), allowed, "{origin:?}");
            assert!(!Origins::default().allow(&origin));
            assert!(origins(&["*"]).allow(&origin));
        }
    }

    #[test]
    fn credentials_are_for_named_origins_only() {
        let origin = HeaderValue::from_static("https://a.example");
        let exposed = |names: &[&str]| {
            let mut headers = HeaderMap::new();
            origins(names).expose(&origin, &mut headers);
            let value = |name| {
                headers
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            (
                value(header::ACCESS_CONTROL_ALLOW_ORIGIN),
                value(header::ACCESS_CONTROL_ALLOW_CREDENTIALS),
            )
        };
        let named = (Some("https://a.example".into()), Some("true".into()));
        assert_eq!(exposed(&["*", "https://a.example"]), named);
        assert_eq!(exposed(&["*"]), (Some("*".into()), None));
    }
}
