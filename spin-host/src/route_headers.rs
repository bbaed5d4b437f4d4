//! The request headers in which a component finds its route, as Spin sets them.

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use spin_manifest::TriggerRoute;
use std::net::SocketAddr;

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
/// Number of the headers above.
const COUNT: usize = 7;

/// The headers of a route, made once.
pub(crate) struct RouteHeaders {
    fixed: [(HeaderName, HeaderValue); 4],
    /// Names of the headers with parameters, by the names of the parameters.
    parameters: Vec<(String, HeaderName)>,
}

impl RouteHeaders {
    pub(crate) fn of(route: &TriggerRoute) -> Self {
        let raw = route.as_str();
        let absolute = match raw.starts_with('/') {
            true => raw.to_owned(),
            false => format!("/{raw}"),
        };
        let matched = absolute.strip_suffix('/').unwrap_or(&absolute);
        let component_route = raw.strip_suffix("/...").unwrap_or(raw);
        // Routes with characters that no header can have lose that header, as under Spin.
        let value = |text: &str| {
            HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static(""))
        };
        let parameters = route.parameters().filter_map(|name| {
            let header = format!("spin-path-match-{}", name.replace('_', "-"));
            Some((name.to_owned(), header.to_ascii_lowercase().parse().ok()?))
        });
        Self {
            fixed: [
                (MATCHED_ROUTE, value(matched)),
                (BASE_PATH, HeaderValue::from_static("/")),
                (RAW_COMPONENT_ROUTE, value(raw)),
                (COMPONENT_ROUTE, value(component_route)),
            ],
            parameters: parameters.collect(),
        }
    }

    /// Sets the headers of a request. Those that the client sent are replaced, so that it cannot forge them.
    pub(crate) fn set<B>(
        &self,
        route: &TriggerRoute,
        request: &mut Request<B>,
        client: SocketAddr,
    ) {
        self.put(route, request, client, |headers, name, value| {
            headers.insert(name, value);
        });
    }

    /// Adds the headers to a request of another component, which may pass on those of its own, as under Spin.
    pub(crate) fn append<B>(
        &self,
        route: &TriggerRoute,
        request: &mut Request<B>,
        client: SocketAddr,
    ) {
        self.put(route, request, client, |headers, name, value| {
            headers.append(name, value);
        });
    }

    fn put<B>(
        &self,
        route: &TriggerRoute,
        request: &mut Request<B>,
        client: SocketAddr,
        put: impl Fn(&mut HeaderMap, HeaderName, HeaderValue),
    ) {
        let path = request.uri().path();
        let Some(captures) = route.captures(path) else {
            return;
        };
        let found = captures.parameters.iter().filter_map(|(name, found)| {
            let (_, header) = self.parameters.iter().find(|(known, _)| known == name)?;
            Some((header.clone(), HeaderValue::from_str(found).ok()?))
        });
        let parameters: Vec<_> = found.collect();
        let path_info = HeaderValue::try_from(path_info(captures.rest, path));
        let full_url = HeaderValue::try_from(full_url(request));
        let client = HeaderValue::try_from(client.to_string());
        let headers = request.headers_mut();
        headers.reserve(COUNT + parameters.len());
        for (name, value) in [
            (PATH_INFO, path_info),
            (FULL_URL, full_url),
            (CLIENT_ADDR, client),
        ] {
            if let Ok(value) = value {
                put(headers, name, value);
            }
        }
        for (name, value) in self.fixed.iter().cloned().chain(parameters) {
            put(headers, name, value);
        }
    }
}

/// Returns the part of the path that the wildcard stands for, with its slashes.
fn path_info(rest: Option<&str>, path: &str) -> String {
    let Some(rest) = rest else {
        return String::new();
    };
    let before = if rest.is_empty() { "" } else { "/" };
    let after = if path.ends_with('/') { "/" } else { "" };
    format!("{before}{rest}{after}")
}

fn full_url<B>(request: &Request<B>) -> String {
    let uri = request.uri();
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    // HTTP/2 has no such header.
    let host = host.or(uri.authority().map(http::uri::Authority::as_str));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let scheme = uri.scheme_str().unwrap_or("http");
    format!("{scheme}://{}{path}", host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(route: &str, uri: &str) -> HeaderMap {
        let route: TriggerRoute = route.parse().unwrap();
        let request = Request::get(uri).header("host", "shop.example");
        let mut request = request
            .header("spin-client-addr", "forged")
            .body(())
            .unwrap();
        let client = "127.0.0.1:8777".parse().unwrap();
        RouteHeaders::of(&route).set(&route, &mut request, client);
        request.into_parts().0.headers
    }

    #[test]
    fn a_request_has_the_headers_that_spin_would_set() {
        let headers = headers("/shop/:item_id/...", "/shop/cup/a/b/?key=1");
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("host", "shop.example"),
                ("spin-base-path", "/"),
                ("spin-client-addr", "127.0.0.1:8777"),
                ("spin-component-route", "/shop/:item_id"),
                ("spin-full-url", "http://shop.example/shop/cup/a/b/?key=1"),
                ("spin-matched-route", "/shop/:item_id/..."),
                ("spin-path-info", "/a/b/"),
                ("spin-path-match-item-id", "cup"),
                ("spin-raw-component-route", "/shop/:item_id/..."),
            ]
        );
    }

    #[test]
    fn the_path_info_is_what_follows_the_route() {
        for (route, path, expected) in [
            ("/test/...", "/test", ""),
            ("/test/...", "/test/", "/"),
            ("/test/...", "/test/hello", "/hello"),
            ("/test/*", "/test/hello/", "/hello/"),
            ("/...", "/", "/"),
            ("/test", "/test", ""),
        ] {
            assert_eq!(
                headers(route, path)["spin-path-info"],
                expected,
                "{route} {path}"
            );
        }
    }
}
