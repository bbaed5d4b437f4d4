//! HTTP/1.1 as bytes: requests written, answers read. Pure.

use super::Request;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use anyhow::{Context, Result, anyhow, bail};
use httparse::Status;
use std::{borrow::Cow, io::Write as _};

const MAX_HEADERS: usize = 64;
const LINE_END: usize = 2;

/// Writes a request to `host`, unless it names another host. The body is written in one piece whatever its framing headers
/// say: a request that a proxy passes on may have come in chunks.
pub(crate) fn encode(request: &Request, host: &str) -> Vec<u8> {
    let (method, headers, body) = (request.method(), request.headers(), request.body());
    let mut bytes = Vec::with_capacity(256 + body.len());
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to memory does not fail.
        _ = bytes.write_fmt(text);
    };
    line(format_args!("{method} {} HTTP/1.1\r\n", request.uri()));
    if !headers.contains_key(header::HOST) {
        line(format_args!("host: {host}\r\n"));
    }
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if expects_body || !body.is_empty() {
        line(format_args!("content-length: {}\r\n", body.len()));
    }
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let others = headers.iter().filter(|(name, _)| !framing.contains(name));
    for (name, value) in others {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A complete answer, as places in the bytes it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    head_len: usize,
    /// Length of head and body.
    pub(crate) len: usize,
    chunked: bool,
    /// The server closes the connection after it.
    pub(crate) last: bool,
}

/// Reads the answer to a `method` request that `bytes` begin with; `None` if it is not complete.
pub(crate) fn decode(bytes: &[u8], method: &Method) -> Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Status::Complete(head_len) = head.parse(bytes).context("not an HTTP answer")? else {
        return Ok(None);
    };
    let status = head.code.context("an answer without a status")?;
    let status = StatusCode::from_u16(status)?;
    let find = |name: &str| {
        let mut headers = head.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let body = &bytes[head_len..];
    let chunked =
        find("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let bodyless = method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body_len = if bodyless {
        Some(0)
    } else if chunked {
        chunks(body, |_| ())?
    } else if let Some(length) = find("content-length") {
        let length = length.parse().context("content-length")?;
        Some(length).filter(|length| *length <= body.len())
    } else {
        bail!("an answer with neither a length nor chunks");
    };
    Ok(body_len.map(|body_len| Answer {
        status,
        head_len,
        len: head_len + body_len,
        chunked: chunked && !bodyless,
        last: find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    }))
}

/// Returns the status of the answer that `bytes` begin with, once its head is complete.
pub(crate) fn status(bytes: &[u8]) -> Option<StatusCode> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let complete = head.parse(bytes).ok()?.is_complete();
    StatusCode::from_u16(head.code.filter(|_| complete)?).ok()
}

impl Answer {
    /// Returns its body, without the framing of chunks.
    pub(crate) fn body(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        let body = &bytes[self.head_len..self.len];
        if !self.chunked {
            return body.into();
        }
        let mut joined = Vec::with_capacity(body.len());
        // It was complete and well-formed when it was decoded.
        _ = chunks(body, |chunk| joined.extend_from_slice(chunk));
        joined.into()
    }

    /// Returns its headers.
    pub(crate) fn headers(self, bytes: &[u8]) -> Result<HeaderMap> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        head.parse(&bytes[..self.head_len])?;
        let headers = head.headers.iter().map(|header| {
            let name = HeaderName::from_bytes(header.name.as_bytes())?;
            anyhow::Ok((name, HeaderValue::from_bytes(header.value)?))
        });
        let mut map = HeaderMap::new();
        for header in headers {
            let (name, value) = header?;
            map.append(name, value);
        }
        Ok(map)
    }
}

/// Calls `each` with every chunk, and returns the length of a chunked body without trailers; `None` if it is not
/// complete.
fn chunks(body: &[u8], mut each: impl FnMut(&[u8])) -> Result<Option<usize>> {
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let size =
            httparse::parse_chunk_size(rest).map_err(|_| anyhow!("a chunk without a size"))?;
        let Status::Complete((line, size)) = size else {
            return Ok(None);
        };
        let start = at + line;
        let end = start + usize::try_from(size)?;
        at = end + LINE_END;
        match body.get(start..end) {
            Some(chunk) if at <= body.len() => each(chunk),
            _ => return Ok(None),
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{empty, json, request};

    const SIZED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n\
        3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_not_before() {
        for (text, status, body, last) in [
            (SIZED, 201, "body", false),
            (CHUNKED, 200, "body", true),
            (EMPTY, 204, "", false),
        ] {
            let bytes = text.as_bytes();
            let head = text.find("\r\n\r\n").unwrap() + 4;
            for len in 0..bytes.len() {
                let part = decode(&bytes[..len], &Method::GET).unwrap();
                assert_eq!(part, None, "{text:?} to {len}");
                let seen = self::status(&bytes[..len]).map(|status| status.as_u16());
                assert_eq!(seen, (len >= head).then_some(status), "{text:?} to {len}");
            }
            let answer = decode(bytes, &Method::GET).unwrap().unwrap();
            assert_eq!((answer.status.as_u16(), answer.last), (status, last));
            assert_eq!(answer.len, bytes.len());
            assert_eq!(&*answer.body(bytes), body.as_bytes());
        }
    }

    #[test]
    fn an_answer_to_head_ends_with_its_head() {
        let head = SIZED.trim_end_matches("body").as_bytes();
        let answer = decode(head, &Method::HEAD).unwrap().unwrap();
        assert_eq!(answer.len, head.len());
        assert_eq!(answer.headers(head).unwrap()["content-length"], "4");
    }

    #[test]
    fn a_malformed_answer_is_an_error() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        ] {
            let decoded = decode(text.as_bytes(), &Method::GET);
            assert!(decoded.is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_request_says_where_it_goes_and_how_long_it_is() {
        let written = |request: &Request| String::from_utf8(encode(request, "a:1")).unwrap();
        let get = empty(request("GET /items?limit=1"));
        assert_eq!(
            written(&get),
            "GET /items?limit=1 HTTP/1.1\r\nhost: a:1\r\n\r\n"
        );
        let chunked = request("POST /").header("transfer-encoding", "chunked");
        let post = empty(chunked.header("host", "b"));
        assert_eq!(
            written(&post),
            "POST / HTTP/1.1\r\ncontent-length: 0\r\nhost: b\r\n\r\n"
        );
        assert_eq!(
            written(&json("PUT /items/1", "{}")),
            "PUT /items/1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
        );
    }
}
