//! Translation of requests into a guest.

use http::{
    HeaderMap, Request, Uri, header,
    uri::{Authority, Parts, Scheme},
};
use wasmtime_wasi_http::WasiBody;

/// Body of a request. The guest sees its errors.
pub type RequestBody = WasiBody;

/// Makes the URI of a request absolute: clients send only a path, and the host in a header. The scheme is an extension of
/// the request, if it is not that of HTTP.
pub(crate) fn to_guest<B>(request: Request<B>) -> Request<B> {
    let (mut head, body) = request.into_parts();
    let scheme = head.extensions.remove().unwrap_or(Scheme::HTTP);
    head.uri = absolute(head.uri, scheme, &head.headers);
    Request::from_parts(head, body)
}

fn absolute(uri: Uri, scheme: Scheme, headers: &HeaderMap) -> Uri {
    if uri.authority().is_some() {
        return uri;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Parts { path_and_query, .. } = uri.into_parts();
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(host.unwrap_or(Authority::from_static("localhost")));
    parts.path_and_query = path_and_query;
    Uri::from_parts(parts).expect("a URI with scheme, authority and path is complete")
}
