//! WASI requests for the service.
//!
//! They are used directly, not through the SDK's types: the SDK copies every header, and each call to the host costs more
//! than everything the service does with the result.

use crate::{request::BodyError, service::Request as ServiceRequest};
use http::Method;
use request_telemetry::Incoming;
use spin_sdk::{
    wasip3::{
        http::types::{ErrorCode, Headers, Method as WasiMethod, Request},
        wit_future,
    },
    wit_bindgen::StreamResult,
};
use std::cell::OnceCell;

/// Read size for a body.
const CHUNK: usize = 16 << 10;

/// A WASI request; headers are fetched on first use.
pub(super) struct WasiRequest {
    request: Request,
    method: Method,
    target: String,
    headers: OnceCell<Headers>,
}

impl WasiRequest {
    pub(super) fn new(request: Request) -> Result<Self, ErrorCode> {
        Ok(Self {
            method: to_method(request.get_method())?,
            target: request.get_path_with_query().unwrap_or_default(),
            headers: OnceCell::new(),
            request,
        })
    }

    fn headers(&self) -> &Headers {
        self.headers.get_or_init(|| self.request.get_headers())
    }
}

impl Incoming for WasiRequest {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers().has(name)
    }
}

impl ServiceRequest for WasiRequest {
    fn method(&self) -> &Method {
        &self.method
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, name: &str) -> Option<String> {
        let first = self.headers().get(name).into_iter().next()?;
        String::from_utf8(first).ok()
    }

    async fn read_body(self, declared: Option<usize>, limit: usize) -> Result<Vec<u8>, BodyError> {
        let (reading, read) = wit_future::new(|| Ok(()));
        let (mut stream, trailers) = Request::consume_body(self.request, read);
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
                return Err(BodyError::TooLarge);
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
}

fn to_method(method: WasiMethod) -> Result<Method, ErrorCode> {
    Ok(match method {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Connect => Method::CONNECT,
        WasiMethod::Options => Method::OPTIONS,
        WasiMethod::Trace => Method::TRACE,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Other(other) => {
            Method::from_bytes(other.as_bytes()).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?
        }
    })
}
