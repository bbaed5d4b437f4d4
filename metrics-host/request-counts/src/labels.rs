//! What requests are told apart by.

use super::OTHER;
use std::{fmt, str::FromStr};
use telemetry::method;

/// Why a component could not answer; the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentFailure {
    /// The guest trapped; counted once for each instance that was lost.
    Trap,
    /// The guest did not answer in time.
    Timeout,
    /// No instance could be created.
    Instantiation,
    /// All places for requests were taken.
    Overload,
}

impl ComponentFailure {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Trap,
        Self::Timeout,
        Self::Instantiation,
        Self::Overload,
    ];

    /// Returns the value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Instantiation => "instantiation",
            Self::Overload => "overload",
        }
    }
}

/// Values of the label `http_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// A status, such as `404`.
    Code(u16),
    /// All statuses that begin with a digit, such as `5xx`; matches `5..` as its members do.
    Class(u16),
}

impl Status {
    /// The classes of every status a response can have.
    pub const CLASSES: [Self; 5] = [
        Self::Class(1),
        Self::Class(2),
        Self::Class(3),
        Self::Class(4),
        Self::Class(5),
    ];

    /// Returns the class that a status belongs to. One above 599 is invalid, which RFC 9110 has treated as a 5xx.
    pub fn class(self) -> Self {
        match self {
            Self::Code(code) => Self::Class((code / 100).clamp(1, 5)),
            Self::Class(_) => self,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl FromStr for Status {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix("xx") {
            Some(class) => class.parse().map(Self::Class),
            None => text.parse().map(Self::Code),
        }
    }
}

/// Labels of `app_requests_total`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestLabels {
    /// Route template, `unmatched`, `unreported` or `other`.
    pub endpoint: String,
    /// HTTP method, `_OTHER` or `other`.
    pub method: &'static str,
    /// HTTP status.
    pub status: Status,
}

impl RequestLabels {
    /// Reads labels that were stored as texts; `None` if `status` is none.
    pub fn stored(endpoint: String, method: &str, status: &str) -> Option<Self> {
        Some(Self {
            endpoint,
            method: match method {
                OTHER => OTHER,
                method => method::normalize(method),
            },
            status: status.parse().ok()?,
        })
    }
}
