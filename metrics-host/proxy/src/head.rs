//! The heads of requests and responses: fields of one hop stay on their hop (RFC 9110, section 7.6).

use crate::ProxySettings;
use edge::Failure;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts,
    uri::Scheme,
};
use http_server::listener::ClientAddress;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Fields that mean something to the next hop only.
const HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
];
/// Fields that `Connection` cannot remove: without them, the message would mean something else.
const ESSENTIAL: [HeaderName; 2] = [header::HOST, header::CONTENT_LENGTH];
/// Name of this proxy in `Via`.
const PSEUDONYM: &str = "metrics-host";

/// Returns the status if the proxy has to answer a request itself, as the last one that may: `Max-Forwards` is 0 (RFC
/// 9110, section 7.6.2). Otherwise counts it down.
pub(crate) fn answers_itself(head: &mut Parts) -> Result<Option<StatusCode>, Failure> {
    if !matches!(head.method, Method::OPTIONS | Method::TRACE) {
        return Ok(None);
    }
    let Some(left) = head.headers.get(&MAX_FORWARDS) else {
        return Ok(None);
    };
    let left = left.to_str().ok().and_then(|left| left.parse::<u64>().ok());
    match left.ok_or(Failure::Malformed("Max-Forwards is not a number"))? {
        0 if head.method == Method::OPTIONS => Ok(Some(StatusCode::NO_CONTENT)),
        0 => Err(Failure::NotImplemented(
            "TRACE to this proxy is not supported",
        )),
        left => {
            head.headers.insert(MAX_FORWARDS, (left - 1).into());
            Ok(None)
        }
    }
}

/// Returns whether a client asks for another protocol on its connection. HTTP/2 does not count: its requests would pass
/// uncounted.
pub(crate) fn upgrade(head: &Parts) -> bool {
    let is_http =
        |protocol: &str| protocol.eq_ignore_ascii_case("h2c") || protocol.starts_with("HTTP/");
    head.version == Version::HTTP_11
        && head.headers.contains_key(header::UPGRADE)
        && !list(&head.headers, &header::UPGRADE).any(is_http)
        && connection_options(&head.headers).any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// Changes the head of a client's request into that for the application. `upgrades` tells whether the client may change
/// the protocol.
pub(crate) fn to_application(
    head: &mut Parts,
    upgrades: bool,
    settings: &ProxySettings,
) -> Result<(), Failure> {
    if head.method == Method::CONNECT {
        return Err(Failure::NotImplemented("CONNECT is not supported"));
    }
    let received = match head.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    let headers = &mut head.headers;
    check_transfer_coding(headers)?;
    let upgrade = headers.remove(header::UPGRADE).filter(|_| upgrades);
    let trailers = list(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    remove_hop_fields(headers);
    let mut options = Vec::new();
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        options.push("te");
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::UPGRADE, protocol);
        options.push("upgrade");
    }
    if let Ok(options) = HeaderValue::from_str(&options.join(", "))
        && !options.is_empty()
    {
        headers.insert(header::CONNECTION, options);
    }
    join_cookies(headers);

    // The authority of an absolute target replaces the field (RFC 9112, section 3.2.2).
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, host);
    }
    if !headers.contains_key(header::HOST)
        && let Some(host) = settings.upstream.header()
    {
        headers.insert(header::HOST, host);
    }
    if let Some(target) = head.uri.path_and_query().cloned() {
        head.uri = Uri::from(target);
    }
    head.version = Version::HTTP_11;

    if let Some(ClientAddress(client)) = head.extensions.remove() {
        let has_tls = head.extensions.remove() == Some(Scheme::HTTPS);
        let scheme = if has_tls { "https" } else { "http" };
        settings.forwarding.apply(headers, client, scheme);
    }
    if let Ok(via) = HeaderValue::from_str(&format!("{received} {PSEUDONYM}")) {
        headers.append(header::VIA, via);
    }
    Ok(())
}

/// Changes the head of the application's response into that for the client. `switches` tells whether the protocol
/// changes.
pub(crate) fn to_client(headers: &mut HeaderMap, switches: bool) -> Result<(), Failure> {
    let only_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .all(only_chunked)
    {
        let reason = "it used a transfer coding that nobody asked for";
        return Err(Failure::NoResponse(reason.into()));
    }
    let protocol = headers.remove(header::UPGRADE).filter(|_| switches);
    remove_hop_fields(headers);
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
        let option = HeaderValue::from_static("upgrade");
        headers.insert(header::CONNECTION, option);
    }
    Ok(())
}

/// Refuses codings other than `chunked`: they would be lost with the field.
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next();
    let is_chunked = first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    match is_chunked && codings.next().is_none() {
        true => Ok(()),
        false => Err(Failure::NotImplemented("unknown transfer coding")),
    }
}

/// Returns the elements of a field that is a list.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &header::CONNECTION)
}

fn remove_hop_fields(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = connection_options(headers)
            .filter_map(|option| option.parse().ok())
            .filter(|name| !ESSENTIAL.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP {
        headers.remove(name);
    }
}

/// Joins the parts into which HTTP/2 splits cookies (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let parts: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
    if parts.len() > 1 {
        let parts: Vec<_> = parts.into_iter().map(HeaderValue::as_bytes).collect();
        if let Ok(cookies) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
            headers.insert(header::COOKIE, cookies);
        }
    }
}
