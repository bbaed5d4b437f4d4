//! The `Host` header of a request, as RFC 9112 section 3.2 demands it.

use http::{Request, Version, header};

/// Returns the reason if a request must be answered 400: it has no `Host` (since HTTP/1.1), more than one, or an invalid
/// one. HTTP/2 has `:authority` for it.
pub(crate) fn fault<B>(request: &Request<B>) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => None,
        (None, _) if request.version() == Version::HTTP_2 && request.uri().host().is_some() => None,
        (None, _) => Some("the request has no Host header"),
        (Some(_), Some(_)) => Some("the request has more than one Host header"),
        (Some(host), None) if is_valid(host.as_bytes()) => None,
        (Some(_), None) => Some("the Host header is invalid"),
    }
}

/// Returns whether `host` is a host with an optional port: `uri-host [ ":" port ]`. It may be empty.
fn is_valid(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return false;
            };
            let (address, port) = (&rest[..end], &rest[end + 1..]);
            let is_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.v".contains(byte);
            if address.is_empty() || !address.iter().all(is_address) {
                return false;
            }
            (&b""[..], port)
        }
        host => host.split_at(
            host.iter()
                .position(|byte| *byte == b':')
                .unwrap_or(host.len()),
        ),
    };
    let port_is_valid = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    port_is_valid && is_registered_name(name)
}

fn is_registered_name(mut name: &[u8]) -> bool {
    loop {
        name = match name {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..]
                if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) =>
            {
                rest
            }
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for valid in [
            "",
            "localhost",
            "a.example:8080",
            "a.example:",
            "127.0.0.1:80",
            "[::1]",
            "[::ffff:1.2.3.4]:8080",
            "xn--bcher-kva.example",
            "under_score",
            "a%20b",
        ] {
            assert!(is_valid(valid.as_bytes()), "{valid:?}");
        }
        for invalid in [
            "a b", "a/b", "user@a", "a:b", "a:80:80", "[::1", "[]", "[::1]x", "::1", "a%2",
            "bücher", "a\"", "a,b c", "http://a",
        ] {
            assert!(!is_valid(invalid.as_bytes()), "{invalid:?}");
        }
    }

    #[test]
    fn only_http_1_0_may_lack_a_host() {
        let request = |version, hosts: &[&str]| {
            let request = Request::get("/").version(version);
            let add = |request: http::request::Builder, host: &&str| request.header("host", *host);
            hosts.iter().fold(request, add).body(()).unwrap()
        };
        assert!(fault(&request(Version::HTTP_10, &[])).is_none());
        assert!(fault(&request(Version::HTTP_11, &[])).is_some());
        assert!(fault(&request(Version::HTTP_2, &[])).is_some());
        assert!(fault(&request(Version::HTTP_11, &["a"])).is_none());
        assert!(fault(&request(Version::HTTP_10, &["a", "a"])).is_some());
        let mut http2 = request(Version::HTTP_2, &[]);
        *http2.uri_mut() = "http://a/".parse().unwrap();
        assert!(fault(&http2).is_none());
    }
}
