//! WASI requests and responses for the service.
//!
//! They are used directly, not through the SDK's types: the SDK copies every header, and each call to the host costs more
//! than everything the service does with the result.

use crate::{
    in_flight::InFlight, request::BodyError, response::Reply, service::Request as ServiceRequest,
};
use http::{Method, StatusCode};
use spin_sdk::{
    wasip3::{
        self,
        http::types::{ErrorCode, Fields, Headers, Method as WasiMethod, Request, Response},
        wit_future, wit_stream,
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

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers().has(name)
    }

    fn headers(&self) -> &Headers {
        self.headers.get_or_init(|| self.request.get_headers())
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

/// Converts a reply. Its body is written as the host reads it, and `in_flight` is dropped after the last byte.
pub(super) fn to_wasi(reply: Reply, in_flight: Option<InFlight>) -> Result<Response, ErrorCode> {
    let (head, body) = reply.into_parts();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let headers = Fields::from_list(&headers)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (ending, end) = wit_future::new(|| Ok(None));
    let (contents, writer) = if body.is_empty() {
        (None, None)
    } else {
        let (writer, reader) = wit_stream::new();
        (Some(reader), Some(writer))
    };
    let (response, _sent) = Response::new(headers, contents, end);
    // 200 is the default; setting it would be another call to the host.
    if head.status != StatusCode::OK {
        response
            .set_status_code(head.status.as_u16())
            .map_err(|()| {
                ErrorCode::InternalError(Some(format!("invalid status {}", head.status)))
            })?;
    }
    wasip3::spawn(async move {
        if let Some(mut writer) = writer {
            // The result is the unwritten rest, if the client is gone.
            _ = writer.write_all(body).await;
        }
        _ = ending.write(Ok(None)).await;
        drop(in_flight);
    });
    Ok(response)
}
