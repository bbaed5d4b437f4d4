//! API errors: `Display` is the public message; the source goes to the log only.

use crate::{item::NameError, store::StoreError};
use http::StatusCode;

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The path has no route.
    #[error("not found")]
    NoRoute,
    /// The path does not support the method.
    #[error("method not allowed; allowed: {allow}")]
    MethodNotAllowed {
        /// Value of the `Allow` header.
        allow: &'static str,
    },
    /// The item does not exist.
    #[error("item not found")]
    NoItem,
    /// The content type is not JSON.
    #[error("content-type must be application/json")]
    ContentType,
    /// The body is larger than [`crate::request::MAX_BODY`].
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// Maximum size in bytes.
        limit: usize,
    },
    /// The connection broke before the body ended.
    #[error("body could not be read")]
    UnreadableBody,
    /// The body is not JSON.
    #[error("malformed JSON: {0}")]
    MalformedJson(String),
    /// The body is JSON, but not an object.
    #[error("body must be a JSON object")]
    NotAnObject,
    /// The member `name` is not a string.
    #[error("name must be a string")]
    NameNotString,
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A query parameter, or `x-fault`, is invalid.
    #[error("{0}")]
    BadParameter(String),
    /// The store failed.
    #[error("internal error")]
    Store(#[source] StoreError),
    /// The readiness probe found the store down: an expected response, not an exception.
    #[error("the store does not answer")]
    NotReady(#[source] StoreError),
    /// Fault injection requested the error.
    #[error("internal error")]
    FaultInjected,
    /// A component variable is missing or invalid.
    #[error("internal error")]
    Settings(#[source] crate::settings::SettingsError),
}

impl ApiError {
    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::NoItem => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnreadableBody
            | Self::MalformedJson(_)
            | Self::NotAnObject
            | Self::NameNotString
            | Self::Name(_)
            | Self::BadParameter(_) => StatusCode::BAD_REQUEST,
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::FaultInjected | Self::Settings(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Returns the class of the internal exception for telemetry; `None` if the error is not one.
    pub fn class(&self) -> Option<&'static str> {
        match self {
            Self::Store(_) => Some("store"),
            Self::FaultInjected => Some("fault_injected"),
            Self::Settings(_) => Some("settings"),
            Self::NoRoute
            | Self::NoItem
            | Self::MethodNotAllowed { .. }
            | Self::ContentType
            | Self::TooLarge { .. }
            | Self::UnreadableBody
            | Self::MalformedJson(_)
            | Self::NotAnObject
            | Self::NameNotString
            | Self::Name(_)
            | Self::BadParameter(_)
            | Self::NotReady(_) => None,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
