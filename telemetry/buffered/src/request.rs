//! Requests, as values or as resources of `wasi:http`.

use crate::value;
use bytes::Bytes;
use http::{Method, Uri};
use http_body::{Frame, SizeHint};
use spin_sdk::{
    http::FromRequest,
    wasip3::{
        http::types::{self, ErrorCode, Headers},
        http_compat::IncomingRequestBody,
        wit_future,
    },
    wit_bindgen::StreamResult,
};
use std::{
    borrow::Cow,
    cell::OnceCell,
    pin::Pin,
    task::{Context, Poll},
};

/// Read size for a body.
const CHUNK: usize = 16 << 10;

/// A type in which a handler can take requests: [`Request`], or [`http::Request`] with a [`Body`].
pub trait FromHost: Sized {
    /// Takes a request of `wasi:http`.
    ///
    /// # Errors
    /// If it is invalid.
    fn from_wasi(request: types::Request) -> Result<Self, ErrorCode>;

    /// Takes a request as a value.
    ///
    /// # Errors
    /// If it is invalid.
    #[doc(hidden)]
    fn from_value(request: value::Request) -> Result<Self, ErrorCode>;
}

/// A request that is not converted. Headers and body are fetched from the host when they are read, which is the cheapest
/// way for a handler that needs little of them.
pub struct Request {
    method: Method,
    target: String,
    content: Content,
}

enum Content {
    Value(value::Request),
    Wasi {
        request: types::Request,
        /// Fetched on first use.
        headers: OnceCell<Headers>,
    },
}

/// The reason why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("the body is too large")]
    TooLarge,
    /// The connection broke.
    #[error("the body could not be read")]
    Unreadable,
}

impl Request {
    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the first value of the header `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match &self.content {
            Content::Value(request) => {
                let mut headers = request.headers.iter();
                let (_, value) = headers.find(|(known, _)| known == name)?;
                Some(value.into())
            }
            Content::Wasi { request, headers } => {
                let headers = headers.get_or_init(|| request.get_headers());
                headers.get(name).into_iter().next().map(Cow::Owned)
            }
        }
    }

    /// Returns whether the request has the header `name`, which is in lower case.
    pub fn has_header(&self, name: &str) -> bool {
        match &self.content {
            Content::Value(request) => request.headers.iter().any(|(known, _)| known == name),
            Content::Wasi { request, headers } => {
                headers.get_or_init(|| request.get_headers()).has(name)
            }
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If it is longer than `limit` bytes, or does not arrive.
    pub async fn read_body(self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let declared = self.header("content-length");
        let declared = declared.and_then(|length| str::from_utf8(&length).ok()?.parse().ok());
        let content = match self.content {
            Content::Value(request) => request.body,
            Content::Wasi { .. } if declared.is_some_and(|length| length > limit) => {
                return Err(BodyError::TooLarge);
            }
            Content::Wasi { request, .. } => read(request, declared, limit).await?,
        };
        match content.len() > limit {
            true => Err(BodyError::TooLarge),
            false => Ok(content),
        }
    }
}

/// Reads a body until it is complete, or longer than `limit`.
async fn read(
    request: types::Request,
    declared: Option<usize>,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let (reading, read) = wit_future::new(|| Ok(()));
    let (mut stream, trailers) = types::Request::consume_body(request, read);
    // With a declared length, the last read for the end of the stream can be saved.
    let complete = |content: &Vec<u8>| declared.is_some_and(|length| content.len() >= length);
    let mut content = Vec::with_capacity(declared.unwrap_or_default());
    while !complete(&content) {
        if content.len() == content.capacity() {
            content.reserve(CHUNK);
        }
        let (result, read) = stream.read(content).await;
        content = read;
        if content.len() > limit {
            return Ok(content);
        }
        match result {
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
    }
    drop(reading);
    if complete(&content) {
        return Ok(content);
    }
    // The stream ends alike for a complete body and a broken connection; the trailers tell.
    match trailers.await {
        Ok(_) => Ok(content),
        Err(_) => Err(BodyError::Unreadable),
    }
}

impl FromHost for Request {
    fn from_wasi(request: types::Request) -> Result<Self, ErrorCode> {
        Ok(Self {
            method: to_method(request.get_method())?,
            target: request.get_path_with_query().unwrap_or_default(),
            content: Content::Wasi {
                request,
                headers: OnceCell::new(),
            },
        })
    }

    fn from_value(mut request: value::Request) -> Result<Self, ErrorCode> {
        Ok(Self {
            method: to_method(std::mem::replace(&mut request.method, types::Method::Get))?,
            target: std::mem::take(&mut request.path_with_query),
            content: Content::Value(request),
        })
    }
}

fn to_method(method: types::Method) -> Result<Method, ErrorCode> {
    Method::try_from(method).map_err(|_| ErrorCode::HttpRequestMethodInvalid)
}

/// The body of a request.
pub struct Body(Kind);

enum Kind {
    /// The unread rest of a body in memory.
    Value(Bytes),
    Wasi(IncomingRequestBody),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        match &mut self.0 {
            Kind::Value(rest) if rest.is_empty() => Poll::Ready(None),
            Kind::Value(rest) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest))))),
            Kind::Wasi(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Value(rest) => rest.is_empty(),
            Kind::Wasi(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Value(rest) => SizeHint::with_exact(rest.len() as u64),
            Kind::Wasi(body) => body.size_hint(),
        }
    }
}

impl FromHost for http::Request<Body> {
    fn from_wasi(request: types::Request) -> Result<Self, ErrorCode> {
        let request = spin_sdk::http::Request::from_request(request)?;
        Ok(request.map(|body| Body(Kind::Wasi(body))))
    }

    fn from_value(request: value::Request) -> Result<Self, ErrorCode> {
        let value::Request {
            method,
            scheme,
            authority,
            path_with_query,
            headers,
            body,
        } = request;
        let mut uri = Uri::builder();
        if let Some(scheme) = scheme {
            uri = uri.scheme(scheme);
        }
        if let Some(authority) = authority {
            uri = uri.authority(authority);
        }
        if !path_with_query.is_empty() {
            uri = uri.path_and_query(path_with_query);
        }
        let uri = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let mut request = http::Request::builder().method(to_method(method)?).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = Body(Kind::Value(body.into()));
        let invalid = |error: http::Error| ErrorCode::InternalError(Some(error.to_string()));
        request.body(body).map_err(invalid)
    }
}
