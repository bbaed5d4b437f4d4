//! The interface `metrics-host:buffered-http/handler`, which a component may export beside `wasi:http/handler`: a request
//! and its response cross as values, in one call. `telemetry/buffered/wit` documents it.

use crate::{
    body::Collected,
    delivery::content_length,
    instance::HostState,
    message::{self, RequestBody},
};
use bytes::Bytes;
use futures::{
    future::{self, Either},
    stream::{self, StreamExt},
};
use http::{Request, Response, StatusCode, header, uri::Parts};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use std::{pin::pin, time::Duration};
use wasmtime::{
    Result, StoreContextMut,
    component::{
        Accessor, ComponentType, Lift, Lower, Resource, TypedFunc, TypedFuncCallConcurrent,
    },
    error::Context,
};
use wasmtime_wasi_http::{
    Error, FieldMap, WasiBody, WasiHttpView,
    p3::{
        self,
        bindings::http::types::{ErrorCode, Method, Scheme},
    },
};

/// Name of the interface.
pub(crate) const INTERFACE: &str = "metrics-host:buffered-http/handler@0.1.0";
/// Name of the interface's only function.
pub(crate) const FUNCTION: &str = "handle";
/// Longest body of a request that crosses as a value, in bytes.
const MAX_BODY: u64 = 64 << 10;
/// Time for the body to arrive. After that the component gets the request by `wasi:http`, and reads on by itself.
const PAUSE: Duration = Duration::from_millis(50);
/// Largest size of the headers of a response, in bytes, as `wasi:http` has it.
const MAX_FIELDS: usize = 128 << 10;

type Fields = Vec<(String, Vec<u8>)>;
type Parameters = (WholeRequest,);
type Results = (std::result::Result<Answer, ErrorCode>,);

/// The function that handles a request.
pub(crate) type Handler = TypedFunc<Parameters, Results>;
/// A call of it.
pub(crate) type Call = TypedFuncCallConcurrent<HostState, Parameters, Results>;

/// A request as its component gets it.
pub(crate) enum Arrived {
    Whole(Request<Bytes>),
    Streaming(Request<RequestBody>),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct WholeRequest {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    #[component(name = "path-with-query")]
    path_with_query: String,
    headers: Fields,
    body: Bytes,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WholeResponse {
    #[component(name = "status-code")]
    status_code: u16,
    headers: Fields,
    body: Bytes,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Answer {
    #[component(name = "whole")]
    Whole(WholeResponse),
    #[component(name = "streaming")]
    Streaming(Resource<p3::Response>),
}

/// Awaits the body of a request, if it is short and arrives at once.
pub(crate) async fn collect(request: Request<RequestBody>) -> Arrived {
    let length = request.body().size_hint().exact();
    // The client sends the body once the component begins to read it, or not at all.
    let waits = request.headers().contains_key(header::EXPECT);
    if waits || length.is_none_or(|length| length > MAX_BODY) {
        return Arrived::Streaming(request);
    }
    let (head, mut body) = request.into_parts();
    if body.is_end_stream() {
        return Arrived::Whole(Request::from_parts(head, Bytes::new()));
    }
    let mut content = Collected::default();
    let mut pause = pin!(tokio::time::sleep(PAUSE));
    let last = loop {
        match future::select(body.frame(), pause.as_mut()).await {
            Either::Left((None, _)) => {
                return Arrived::Whole(Request::from_parts(head, content.into_bytes()));
            }
            Either::Left((Some(frame), _)) => match frame.map(Frame::into_data) {
                Ok(Ok(data)) => content.push(data),
                Ok(Err(trailers)) => break Some(Ok(trailers)),
                Err(error) => break Some(Err(error)),
            },
            Either::Right(_) => break None,
        }
    };
    let content = content.into_bytes();
    let first = (!content.is_empty()).then(|| Ok(Frame::data(content)));
    let received = stream::iter([first, last].into_iter().flatten());
    let body = StreamBody::new(received.chain(BodyStream::new(body)));
    Arrived::Streaming(Request::from_parts(head, body.boxed_unsync()))
}

/// Passes a request to the guest.
pub(crate) fn start(
    handler: Handler,
    mut store: StoreContextMut<'_, HostState>,
    request: Request<Bytes>,
) -> Result<Call> {
    let (head, body) = message::to_guest(request).into_parts();
    let is_forbidden = store.data_mut().http().hooks.forbidden_header_filter();
    let headers = head.headers.iter().filter(|(name, _)| !is_forbidden(name));
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().into()));
    let Parts {
        scheme,
        authority,
        path_and_query,
        ..
    } = head.uri.into_parts();
    let request = WholeRequest {
        method: head.method.into(),
        scheme: scheme.map(Scheme::from),
        authority: authority.map(|authority| authority.as_str().to_owned()),
        path_with_query: path_and_query.map_or_else(String::new, |path| path.as_str().to_owned()),
        headers: headers.collect(),
        body,
    };
    handler.start_call_concurrent(store, (request,))
}

/// Awaits the response.
pub(crate) async fn finish(
    handler: Handler,
    accessor: &Accessor<HostState>,
    call: Call,
) -> Result<Response<WasiBody>> {
    let (answer,) = handler.finish_call_concurrent(accessor, call).await?;
    let answer = answer?;
    accessor.with(|mut store| match answer {
        Answer::Whole(response) => to_response(store.get(), response),
        Answer::Streaming(response) => {
            let response = store.get().table.delete(response)?;
            response.into_http(&mut store, async { Ok(()) })
        }
    })
}

fn to_response(state: &mut HostState, response: WholeResponse) -> Result<Response<WasiBody>> {
    let WholeResponse {
        status_code,
        headers,
        body,
    } = response;
    let mut fields = FieldMap::new_mutable(MAX_FIELDS);
    let hooks = state.http().hooks;
    for (name, value) in headers {
        let appended = fields.append(hooks, name, value);
        appended.context("the headers of the response are refused")?;
    }
    let length = content_length(&fields);
    let body = match length {
        // The error of a stream of another length.
        Some(length) if !body.is_empty() && length != body.len() as u64 => {
            let error = Error::HttpResponseBodySize(Some(length));
            StreamBody::new(stream::once(future::ready(Err::<Frame<Bytes>, _>(error))))
                .boxed_unsync()
        }
        _ => Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status_code)?;
    *response.headers_mut() = fields.into();
    Ok(response)
}
