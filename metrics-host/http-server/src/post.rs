//! Reading `POST` requests safely: protection against web pages, and bodies in bounded memory.
//!
//! A web page can make a browser post to the loopback. With DNS rebinding the request carries the page's own `Host`,
//! which [`HostNames`] refuses. Without rebinding, a POST of JSON needs a CORS preflight, which is answered
//! for [`Origins`] only.

mod body;
mod encoding;
mod origins;

pub use body::{Bodies, BodyError, BodyLimits, Reserved};
pub use encoding::ACCEPT_ENCODING;
pub use origins::{Origin, Origins};

use http::{HeaderMap, header, uri::Authority};
use std::net::IpAddr;

/// The host names under which this server may be reached.
#[derive(Clone, Debug)]
pub struct HostNames(Vec<String>);

impl HostNames {
    /// Allows `names`, `localhost` and loopback addresses.
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Returns whether the `Host` of a request is allowed.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).map(|host| host.to_str());
        let Some(Ok(Ok(authority))) = host.map(|host| host.map(str::parse::<Authority>)) else {
            return false;
        };
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let loopback = address
            .parse::<IpAddr>()
            .map_or(name.eq_ignore_ascii_case("localhost"), |address| {
                address.is_loopback()
            });
        let mut configured = self.0.iter();
        loopback || configured.any(|allowed| address.eq_ignore_ascii_case(allowed))
    }
}

/// Returns the `Content-Type` without parameters such as the charset; empty if the header is missing.
pub fn content_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next();
    essence.unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_and_configured_names_are_hosts() {
        let names = HostNames::new(vec!["metrics-host".to_owned(), "::2".to_owned()]);
        let allowed = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            names.allow(&headers)
        };
        for host in [
            "localhost",
            "LOCALHOST:4318",
            "127.0.0.1:4318",
            "127.9.9.9",
            "[::1]:4318",
            "[::2]:4318",
            "metrics-host:4318",
        ] {
            assert!(allowed(host), "{host}");
        }
        for host in [
            "example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "",
            "localhost@example.com",
        ] {
            assert!(!allowed(host), "{host}");
        }
        assert!(!names.allow(&HeaderMap::new()));
    }

    #[test]
    fn a_content_type_is_read_without_its_parameters() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            content_type(&headers).to_owned()
        };
        assert_eq!(of("application/json; charset=utf-8"), "application/json");
        assert_eq!(of(" text/plain"), "text/plain");
        assert_eq!(content_type(&HeaderMap::new()), "");
    }
}
