//! An answer on the wire: whether it is complete, and what it says of its connection. Pure.

use anyhow::{Context, Result, ensure};
use httparse::Status;

const MAX_HEADERS: usize = 32;

/// A complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Bytes of head and body.
    pub(super) len: usize,
    /// The server ends the connection with it.
    pub(super) last: bool,
}

/// Reads the answer that `bytes` begin with; `None` if there is more to come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Status::Complete(head_len) = head.parse(bytes).context("no HTTP answer")? else {
        return Ok(None);
    };
    let status = head.code.context("an answer has a status")?;
    let header = |name: &str| {
        let mut headers = head.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let body = &bytes[head_len..];
    let body_len = if let Some(length) = header("content-length") {
        let length = length.trim().parse().context("content-length")?;
        Some(length).filter(|length| *length <= body.len())
    } else if header("transfer-encoding").is_some_and(|coding| coding.trim() == "chunked") {
        chunked_len(body)?
    } else {
        ensure!(status == 204, "an answer with neither length nor chunks");
        Some(0)
    };
    Ok(body_len.map(|body_len| Answer {
        status,
        len: head_len + body_len,
        last: header("connection").is_some_and(|value| value.trim().eq_ignore_ascii_case("close")),
    }))
}

/// Returns the length of a chunked body without trailers; `None` if there is more to come.
fn chunked_len(body: &[u8]) -> Result<Option<usize>> {
    const LINE_END: usize = 2;
    let mut len = 0;
    loop {
        let rest = body.get(len..).unwrap_or_default();
        let size = httparse::parse_chunk_size(rest)
            .map_err(|_| anyhow::anyhow!("a chunk without a size"))?;
        let Status::Complete((line, size)) = size else {
            return Ok(None);
        };
        len += line + size as usize + LINE_END;
        if size == 0 {
            return Ok(Some(len).filter(|len| *len <= body.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n\
        3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_not_before() {
        for (text, status, last) in [
            (SIZED, 201, false),
            (CHUNKED, 200, true),
            (EMPTY, 204, false),
        ] {
            for len in 0..text.len() {
                assert_eq!(
                    parse(&text.as_bytes()[..len]).unwrap(),
                    None,
                    "{text:?} to {len}"
                );
            }
            let answer = Answer {
                status,
                len: text.len(),
                last,
            };
            assert_eq!(parse(text.as_bytes()).unwrap(), Some(answer));
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
