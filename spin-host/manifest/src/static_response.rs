//! Responses that the host gives itself.

use crate::{TriggerRoute, WELL_KNOWN, document};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// A response that the host gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticResponse {
    /// Status of the response; 200 by default.
    pub status: StatusCode,
    /// Headers of the response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body of the response.
    pub body: String,
}

/// The reason why a response cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StaticResponseError {
    #[error("status_code {0}; expected a number from 200 to 999")]
    Status(u16),
    #[error("header {0:?}: its name or its value contains a character that is not allowed")]
    Header(String),
}

impl TryFrom<document::StaticResponse> for StaticResponse {
    type Error = StaticResponseError;

    fn try_from(declared: document::StaticResponse) -> Result<Self, StaticResponseError> {
        let code = declared.status_code.unwrap_or(200);
        let status = StatusCode::from_u16(code).ok();
        let header =
            |(name, value): (String, String)| match (name.parse(), HeaderValue::from_str(&value)) {
                (Ok(name), Ok(value)) => Ok((name, value)),
                _ => Err(StaticResponseError::Header(name)),
            };
        Ok(Self {
            // An interim status is not a response.
            status: status
                .filter(|status| !status.is_informational())
                .ok_or(StaticResponseError::Status(code))?,
            headers: declared
                .headers
                .into_iter()
                .map(header)
                .collect::<Result<_, _>>()?,
            body: declared.body,
        })
    }
}

/// Spin's description of an application.
#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
}

pub(crate) fn well_known(name: &str, version: &str) -> Vec<(TriggerRoute, StaticResponse)> {
    let route = |name: &str| {
        let route = format!("{WELL_KNOWN}{name}").parse();
        route.expect("a fixed text is a route")
    };
    let response = |headers, body| StaticResponse {
        status: StatusCode::OK,
        headers,
        body,
    };
    let info = serde_json::to_string_pretty(&Info { name, version });
    let json = HeaderValue::from_static("application/json");
    vec![
        (route("health"), response(Vec::new(), "OK".to_owned())),
        (
            route("info"),
            response(
                vec![(header::CONTENT_TYPE, json)],
                info.expect("texts can be written as JSON"),
            ),
        ),
    ]
}
