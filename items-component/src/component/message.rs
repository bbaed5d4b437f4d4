//! Requests of the host as the service reads them.
//!
//! They are not converted to the SDK's types: those copy every header, and each call to the host costs more than everything
//! the service does with the result.

use crate::{request::BodyError, service};
use http::Method;
use request_telemetry::{self as telemetry, Request};

impl service::Request for Request {
    fn method(&self) -> &Method {
        self.method()
    }

    fn target(&self) -> &str {
        self.target()
    }

    fn header(&self, name: &str) -> Option<String> {
        String::from_utf8(self.header(name)?.into_owned()).ok()
    }

    async fn read_body(self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let content = self.read_body(limit).await;
        content.map_err(|error| match error {
            telemetry::BodyError::TooLarge => BodyError::TooLarge,
            telemetry::BodyError::Unreadable => BodyError::Unreadable,
        })
    }
}
