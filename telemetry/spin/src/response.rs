//! Responses for the host. They are not converted by the SDK, which copies every header once more, and needs further
//! calls to the host.

use crate::in_flight::InFlight;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use spin_sdk::wasip3::{
    self,
    http::types::{self, ErrorCode, Fields, HeaderError, Trailers},
    wit_future, wit_stream,
};
use std::pin::pin;

/// Converts a response. Its body is written as the host reads it, and `in_flight` is dropped after the last byte.
pub(crate) fn to_wasi<B>(
    response: Response<B>,
    in_flight: Option<InFlight>,
) -> Result<types::Response, ErrorCode>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + 'static,
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
        if let Some(mut writer) = writer {
            let mut body = pin!(body);
            while let Some(frame) = body.frame().await {
                match frame.map(http_body::Frame::into_data) {
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
        drop(in_flight);
    });
    Ok(response)
}

fn fields(headers: &HeaderMap) -> Result<Trailers, HeaderError> {
    let list: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&list)
}

fn internal(reason: &impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(reason.to_string()))
}
