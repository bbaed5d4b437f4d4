//! What can go wrong with a request: what the client is told, and what only the log is told.

use crate::{item::NameError, store::StoreError};
use http::StatusCode;

/// A request that was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No such path.
    #[error("not found")]
    NoRoute,
    /// The path is there, the method is not.
    #[error("method not allowed; allowed: {allow}")]
    MethodNotAllowed {
        /// Value of the `Allow` header.
        allow: &'static str,
    },
    /// No such item.
    #[error("item not found")]
    NoItem,
    /// Not JSON by its content type.
    #[error("content-type must be application/json")]
    ContentType,
    /// Larger than [`crate::request::MAX_BODY`].
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body broke off.
    #[error("body could not be read")]
    UnreadableBody,
    /// Not JSON by its content.
    #[error("malformed JSON: {0}")]
    MalformedJson(String),
    /// JSON, but no object.
    #[error("body must be a JSON object")]
    NotAnObject,
    /// The member `name` is no text.
    #[error("name must be a string")]
    NameNotText,
    /// The name cannot be kept.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A query parameter, or `x-fault`, is not understood.
    #[error("{0}")]
    BadParameter(String),
    /// The store failed.
    #[error("internal error")]
    Store(#[source] StoreError),
    /// The store failed when asked whether it works, which is an answer and not an exception.
    #[error("the store does not answer")]
    NotReady(#[source] StoreError),
    /// A drill asked for it.
    #[error("internal error")]
    FaultInjected,
    /// A variable of the component has a value that it does not know.
    #[error("internal error")]
    Settings(#[source] crate::settings::SettingsError),
}

impl ApiError {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::NoItem => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnreadableBody
            | Self::MalformedJson(_)
            | Self::NotAnObject
            | Self::NameNotText
            | Self::Name(_)
            | Self::BadParameter(_) => StatusCode::BAD_REQUEST,
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::FaultInjected | Self::Settings(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Returns the class of the internal exception, as telemetry names it; `None` if there was none.
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
            | Self::NameNotText
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
