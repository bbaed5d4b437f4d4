//! HTTP/1.1 or HTTP/2: a client with prior knowledge of HTTP/2 begins with a fixed preface (RFC 9113, section 3.4).

use std::{io, time::Duration};
use tokio::{net::TcpStream, time};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before a second look at a preface that arrived in parts.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits for the first bytes of a client, for at most `timeout`, and returns whether they are the preface of HTTP/2.
pub(crate) async fn is_http2(stream: &TcpStream, timeout: Duration) -> io::Result<bool> {
    let look = async {
        let mut start = [0; PREFACE.len()];
        loop {
            let len = stream.peek(&mut start).await?;
            if len == 0 || !PREFACE.starts_with(&start[..len]) {
                return Ok(false);
            }
            if len == PREFACE.len() {
                return Ok(true);
            }
            time::sleep(PAUSE).await;
        }
    };
    time::timeout(timeout, look).await?
}
