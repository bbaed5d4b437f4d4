//! Interim responses, such as 103 Early Hints. hyper cannot send them, so they go past it.

use crate::peer::Peer;
use http::{HeaderMap, StatusCode};
use std::{fmt, sync::Arc};

/// Sends interim responses to the client of a request: an extension of requests over HTTP/1.1.
#[derive(Clone)]
pub struct InterimResponses(Arc<Peer>);

impl InterimResponses {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        Self(peer)
    }

    /// Sends an interim response before the final one. Nothing is sent if the client has an earlier response to read
    /// first.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        let reason = status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        for (name, value) in headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        self.0.send_interim(&head);
    }
}

impl fmt::Debug for InterimResponses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InterimResponses")
    }
}
