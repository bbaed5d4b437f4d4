//! Requests that two servers could read differently. hyper settles on one reading and says nothing, so the bytes of the
//! head are looked at, too.

use http::{Request, header};

/// Extension of a request that has to be answered 400; with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous(pub &'static str);

/// Returns the ambiguity of a request. `head` begins with its head, as far as the bytes are known.
///
/// A head is unknown if it arrived before the response to an earlier request. hyper's own reading is safe for it:
/// `Transfer-Encoding` decides, `Content-Length` is removed, and the connection ends (RFC 9112, section 6.1).
pub(crate) fn ambiguity<B>(request: &Request<B>, head: &[u8]) -> Option<Ambiguous> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| !line.is_empty() && *line != b"\r")?;
    if !line.starts_with(request.method().as_str().as_bytes()) {
        return None;
    }
    if line.contains(&b'#') {
        return Some(Ambiguous("the request target has a fragment"));
    }
    if !request.headers().contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let mut headers = lines.take_while(|line| !line.is_empty() && *line != b"\r");
    let is_length = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next();
        name.is_some_and(|name| {
            name.eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str().as_bytes())
        })
    };
    headers.any(is_length).then_some(Ambiguous(
        "the request has both Content-Length and Transfer-Encoding",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_found() {
        let request = |chunked: bool| {
            let request = Request::post("/a");
            let request = match chunked {
                true => request.header("transfer-encoding", "chunked"),
                false => request,
            };
            request.body(()).unwrap()
        };
        let both = Some(Ambiguous(
            "the request has both Content-Length and Transfer-Encoding",
        ));
        let fragment = Some(Ambiguous("the request target has a fragment"));
        for (chunked, head, expected) in [
            (
                true,
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nCONTENT-LENGTH: 3\r\n\r\n",
                both,
            ),
            (
                true,
                "POST /a HTTP/1.1\ncontent-length:3\nTransfer-Encoding: chunked\n\n",
                both,
            ),
            (
                true,
                "\r\nPOST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\n",
                both,
            ),
            (
                true,
                "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 3\r\n",
                None,
            ),
            (
                true,
                "POST /a HTTP/1.1\r\nx-content-length: 3\r\n\r\n",
                None,
            ),
            (false, "POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\n", None),
            (false, "POST /a#b HTTP/1.1\r\n\r\n", fragment),
            (false, "POST /a HTTP/1.1\r\nx: #\r\n\r\n", None),
            (true, "content-length: 3\r\n\r\n", None),
            (true, "", None),
        ] {
            assert_eq!(
                ambiguity(&request(chunked), head.as_bytes()),
                expected,
                "{head:?}"
            );
        }
    }
}
