//! The labels of requests.

use super::{OTHER, is_legible};
use std::{fmt, str::FromStr};
use telemetry::method;

/// A component's failure to respond: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentFailure {
    /// The component trapped; counted once per lost instance.
    Trap,
    /// The component did not respond in time.
    Timeout,
    /// No instance could be created.
    Instantiation,
    /// The host was at capacity.
    Overload,
    /// The component ended the body of a response before it was complete.
    Truncation,
    /// The application refused the connection, or ended it without a valid response.
    Unreachable,
}

impl ComponentFailure {
    /// All failures.
    pub const ALL: [Self; 6] = [
        Self::Trap,
        Self::Timeout,
        Self::Instantiation,
        Self::Overload,
        Self::Truncation,
        Self::Unreachable,
    ];

    /// Returns the value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Instantiation => "instantiation",
            Self::Overload => "overload",
            Self::Truncation => "truncation",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Values of the label `http_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// A status, such as `404`.
    Code(u16),
    /// All statuses with the same first digit, such as `5xx`. A query for `5..` matches the class, too.
    Class(u16),
}

impl Status {
    /// The five classes of HTTP statuses.
    pub const CLASSES: [Self; 5] = [
        Self::Class(1),
        Self::Class(2),
        Self::Class(3),
        Self::Class(4),
        Self::Class(5),
    ];

    /// Returns the class of a status. A status above 599 is invalid; RFC 9110 treats it as a 5xx.
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

/// The component that a request was for: the labels `application` and `component` of every `app_*` metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Component {
    /// Name of the application; empty for counters from before version 0.2.0.
    pub application: String,
    /// Id of the component in its application; empty if the request reached none.
    pub component: String,
}

impl Component {
    /// Creates the labels of a component.
    pub fn new(application: &str, component: &str) -> Self {
        Self {
            application: application.to_owned(),
            component: component.to_owned(),
        }
    }

    /// Returns whether both names have at most `max_len` bytes and no control character.
    pub fn is_legible(&self, max_len: usize) -> bool {
        let legible = |name: &str| name.is_empty() || is_legible(name, max_len);
        legible(&self.application) && legible(&self.component)
    }
}

/// Labels of `app_requests_total` within a component.
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
    /// Parses stored labels; `None` if `status` is not a status.
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
