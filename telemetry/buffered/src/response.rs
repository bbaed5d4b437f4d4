//! Responses for the host. They are not converted by the SDK, which copies every header once more, and needs further
//! calls to the host.

use crate::value::{Answer, Response as Value};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use spin_sdk::wasip3::{
    self,
    http::types::{self, ErrorCode, Fields, HeaderError, Trailers},
    wit_future, wit_stream,
};
use std::{
    fmt::Display,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    vec,
};

/// Longest body that crosses as a value, in bytes. metrics-host has a longer one stream to its client, too.
const MAX_BODY: u64 = 64 << 10;

/// A result of a handler: a response, or an error in place of one.
pub trait IntoResponse {
    /// Body of the response.
    type Body: Body<Data = Bytes, Error: Display> + 'static;

    /// Returns the response.
    ///
    /// # Errors
    /// If the handler returned an error.
    fn into_response(self) -> Result<Response<Self::Body>, ErrorCode>;
}

impl<B: Body<Data = Bytes, Error: Display> + 'static> IntoResponse for Response<B> {
    type Body = B;

    fn into_response(self) -> Result<Self, ErrorCode> {
        Ok(self)
    }
}

impl<B: Body<Data = Bytes, Error: Display> + 'static, E: Into<ErrorCode>> IntoResponse
    for Result<Response<B>, E>
{
    type Body = B;

    fn into_response(self) -> Result<Response<B>, ErrorCode> {
        self.map_err(Into::into)
    }
}

/// Converts a response into one of `wasi:http`. Its body is written as the host reads it, and dropped after its end.
///
/// # Errors
/// If the host refuses the response, such as for a header that it does not allow.
pub fn to_wasi<B>(response: Response<B>) -> Result<types::Response, ErrorCode>
where
    B: Body<Data = Bytes, Error: Display> + 'static,
{
    let (head, body) = response.into_parts();
    let headers = fields(&head.headers).map_err(|error| internal(&error))?;
    let (ending, end) = wit_future::new(|| Err(ErrorCode::ConnectionTerminated));
    let (contents, writer) = if body.is_end_stream() {
        (None, None)
    } else {
        let (writer, reader) = wit_stream::new();
        (Some(reader), Some(writer))
    };
    let (response, _sent) = types::Response::new(headers, contents, end);
    // 200 is the default; setting it would be another call to the host.
    if head.status != StatusCode::OK {
        let set = response.set_status_code(head.status.as_u16());
        set.map_err(|()| internal(&format!("invalid status {}", head.status)))?;
    }
    wasip3::spawn(async move {
        let mut result = Ok(None);
        let mut body = pin!(body);
        if let Some(mut writer) = writer {
            while let Some(frame) = body.frame().await {
                match frame.map(Frame::into_data) {
                    Ok(Ok(data)) => {
                        // The result is the unwritten rest, if the client is gone.
                        if !writer.write_all(data.into()).await.is_empty() {
                            break;
                        }
                    }
                    Ok(Err(frame)) => {
                        if let Some(trailers) = frame.trailers_ref() {
                            result = fields(trailers).map(Some).map_err(|error| internal(&error));
                        }
                    }
                    Err(error) => {
                        result = Err(internal(&error));
                        break;
                    }
                }
            }
        }
        _ = ending.write(result).await;
    });
    Ok(response)
}

/// Converts a response into a value, if its body is short and complete.
pub(crate) async fn to_answer<B>(response: Response<B>) -> Result<Answer, ErrorCode>
where
    B: Body<Data = Bytes, Error: Display> + 'static,
{
    let (head, body) = response.into_parts();
    match collect(body).await {
        Collected::Whole(body) => Ok(Answer::Whole(Value {
            status_code: head.status.as_u16(),
            headers: to_list(&head.headers),
            body: body.into(),
        })),
        Collected::Unfinished(body) => {
            to_wasi(Response::from_parts(head, body)).map(Answer::Streaming)
        }
    }
}

enum Collected<B: Body> {
    Whole(Bytes),
    Unfinished(Unfinished<B>),
}

/// Collects a body as far as it is there.
async fn collect<B: Body<Data = Bytes>>(body: B) -> Collected<B> {
    let length = body.size_hint().exact();
    let mut body = Box::pin(body);
    let mut frames = Vec::new();
    let is_whole = length.is_some_and(|length| length <= MAX_BODY)
        && poll_fn(|cx| {
            loop {
                match body.as_mut().poll_frame(cx) {
                    Poll::Ready(Some(frame)) => {
                        let is_data = frame.as_ref().is_ok_and(Frame::is_data);
                        frames.push(frame);
                        // Trailers, and errors, are written to the host.
                        if !is_data {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending => return Poll::Ready(false),
                }
            }
        })
        .await;
    if is_whole {
        return Collected::Whole(join(frames));
    }
    Collected::Unfinished(Unfinished {
        frames: frames.into_iter(),
        rest: body,
    })
}

/// Joins frames of data. Most bodies have one, which is not copied.
fn join<E>(frames: Vec<Result<Frame<Bytes>, E>>) -> Bytes {
    let mut parts = frames
        .into_iter()
        .filter_map(|frame| frame.ok()?.into_data().ok());
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        None => first,
        Some(second) => {
            let mut all = BytesMut::from(first);
            all.extend_from_slice(&second);
            parts.for_each(|part| all.extend_from_slice(&part));
            all.freeze()
        }
    }
}

/// A body whose first frames are there already.
struct Unfinished<B: Body> {
    frames: vec::IntoIter<Result<Frame<B::Data>, B::Error>>,
    rest: Pin<Box<B>>,
}

/// The frames are moved out, and never pinned.
impl<B: Body> Unpin for Unfinished<B> {}

impl<B: Body> Body for Unfinished<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.frames.next() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.rest.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.as_slice().is_empty() && self.rest.is_end_stream()
    }
}

fn to_list(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let headers = headers.iter();
    headers
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn fields(headers: &HeaderMap) -> Result<Trailers, HeaderError> {
    Fields::from_list(&to_list(headers))
}

fn internal(reason: &impl Display) -> ErrorCode {
    ErrorCode::InternalError(Some(reason.to_string()))
}
