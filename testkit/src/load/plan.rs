//! The requests of a load, and their answers.

use crate::http::{Request, wire};
use ::http::{Method, StatusCode};
use bytes::Bytes;
use std::borrow::Cow;

/// A request, ready to be sent, and the endpoint under which its answer is counted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Planned {
    pub(super) bytes: Bytes,
    pub(super) method: Method,
    pub(super) endpoint: &'static str,
    expected: Option<StatusCode>,
}

/// An answer, with its whole body.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Cow<'a, [u8]>,
}

impl Planned {
    /// Prepares a request. Its host is `localhost`, unless it has a header that says otherwise.
    pub fn new(request: &Request, endpoint: &'static str) -> Self {
        Self {
            bytes: wire::encode(request, "localhost").into(),
            method: request.method().clone(),
            endpoint,
            expected: None,
        }
    }

    /// Says which status its answer should have. Without it, every status is as good.
    #[must_use]
    pub fn expecting(self, status: StatusCode) -> Self {
        Self {
            expected: Some(status),
            ..self
        }
    }

    /// Returns the endpoint.
    pub fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    pub(super) fn expects(&self, status: StatusCode) -> bool {
        self.expected.is_none_or(|expected| expected == status)
    }
}

impl From<(Request, &'static str)> for Planned {
    fn from((request, endpoint): (Request, &'static str)) -> Self {
        Self::new(&request, endpoint)
    }
}
