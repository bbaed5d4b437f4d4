//! Errors of reading routes. Each names the place, the value and a way out.

use crate::template::TemplateError;

/// A file whose routes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// A line of a routes file is not a route.
    #[error(
        "{place}: {line:?} is not a route; write METHOD PATH [STATUS], such as GET /orders/{{id}} or POST /orders 201"
    )]
    Line {
        /// Position in the file.
        place: String,
        /// The line.
        line: String,
    },
    /// The method of a line is not a known one.
    #[error("{place}: method {method:?} is not known; write * for all methods, or one of {known}", known = telemetry::method::KNOWN.join(", "))]
    Method {
        /// Position in the file.
        place: String,
        /// The method.
        method: String,
    },
    /// A template cannot be used.
    #[error("{place}: template {template:?}: {reason}")]
    Template {
        /// Position in the file.
        place: String,
        /// The template.
        template: String,
        /// The reason.
        reason: TemplateError,
    },
    /// Two templates match the same paths.
    #[error(
        "{place}: template {template:?} matches the same paths as {other:?} ({other_place}); name their parameters alike, or remove one"
    )]
    Ambiguous {
        /// Position in the file.
        place: String,
        /// The template.
        template: String,
        /// Position of the other template.
        other_place: String,
        /// The other template.
        other: String,
    },
    /// There are no routes in the file.
    #[error(
        "it has no routes; write lines such as GET /orders/{{id}}, or name an OpenAPI 3 document"
    )]
    Empty,
    /// The document is not the JSON of an OpenAPI document.
    #[cfg(feature = "openapi")]
    #[error("OpenAPI document: {0}")]
    Json(serde_json::Error),
    /// The document is not the YAML of an OpenAPI document.
    #[cfg(feature = "openapi")]
    #[error("OpenAPI document: {0}")]
    Yaml(yaml_serde::Error),
    /// The document has another version than 3.
    #[cfg(feature = "openapi")]
    #[error("OpenAPI version {0:?} is not supported; convert the document to OpenAPI 3")]
    Version(String),
    /// The base path of a server is not known.
    #[cfg(feature = "openapi")]
    #[error(
        "{place}: server {url:?} has no usable path; write an absolute URL or a path such as /v1, and give each variable a default"
    )]
    Server {
        /// Position in the document.
        place: String,
        /// The URL.
        url: String,
    },
    /// A path refers to something that is not in the document.
    #[cfg(feature = "openapi")]
    #[error("{place}: $ref {reference:?} leads out of the document; bundle it into one file first")]
    Reference {
        /// Position in the document.
        place: String,
        /// The reference.
        reference: String,
    },
}
