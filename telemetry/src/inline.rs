//! What a component and the host that counts for it say to each other, in headers.
//!
//! The host removes every header whose name starts with [`PREFIX`] from what clients send and from what
//! they receive, so none of this can be forged or seen from outside.

/// Start of the names of all headers below.
pub const PREFIX: &str = "telemetry-";

/// Response header: the route template that matched, or [`crate::attribute::UNMATCHED`].
pub const ROUTE_HEADER: &str = "telemetry-route";

/// Response header: the class of the internal exception that the answer hides. Absent where none happened.
pub const ERROR_HEADER: &str = "telemetry-error";

/// End of the path at which the host asks for the [`crate::Vocabulary`], so that a component has to look for
/// [`DESCRIBE_HEADER`] there alone and not in every request.
pub const DESCRIBE_PATH: &str = "/.well-known/telemetry-vocabulary";

/// Request header, from the host only: answer with the [`crate::Vocabulary`] and do nothing else.
pub const DESCRIBE_HEADER: &str = "telemetry-describe";
