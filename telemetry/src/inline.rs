//! The inline contract: headers between a component and the host that counts its requests.
//!
//! The host strips every header that starts with [`PREFIX`] from client requests and responses. Clients can neither
//! forge nor see these headers.

/// Prefix of all headers below.
pub const PREFIX: &str = "telemetry-";

/// Response header: the route template that matched, or [`crate::attribute::UNMATCHED`].
pub const ROUTE_HEADER: &str = "telemetry-route";

/// Response header: the class of the internal exception that the response hides. Absent if there was none.
pub const ERROR_HEADER: &str = "telemetry-error";

/// Suffix of the path at which the host asks for the [`crate::RouteCatalogue`]. A component looks for
/// [`DESCRIBE_HEADER`] only there, not in every request.
pub const DESCRIBE_PATH: &str = "/.well-known/telemetry-vocabulary";

/// Request header, set by the host alone: respond with the [`crate::RouteCatalogue`] and do nothing else.
pub const DESCRIBE_HEADER: &str = "telemetry-describe";
