//! Names fixed by OpenTelemetry's semantic conventions for HTTP, and by us where they are silent.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>

/// The one metric of a batch: how long the component took to answer.
pub const REQUEST_DURATION: &str = "http.server.request.duration";
/// Unit of [`REQUEST_DURATION`], in UCUM: seconds.
pub const REQUEST_DURATION_UNIT: &str = "s";
/// The request's method, one of [`crate::method::KNOWN`] or [`crate::method::OTHER`].
pub const REQUEST_METHOD: &str = "http.request.method";
/// The template that matched, such as `/items/{id}`.
pub const ROUTE: &str = "http.route";
/// The status that was answered.
pub const RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The class of an internal exception; absent where none happened.
pub const ERROR_TYPE: &str = "error.type";

/// Resource attribute: random per Wasm instance.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// Resource attribute: the application's name.
pub const SERVICE_NAME: &str = "service.name";
/// Resource attribute: the application's version.
pub const SERVICE_VERSION: &str = "service.version";

/// Instrumentation scope of our batches: only this scope, with a key, feeds the `app_*` metrics.
pub const SCOPE: &str = "request-telemetry";
/// Request header that carries a [`crate::BatchKey`].
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Route of a request that no route of the component matches.
pub const UNMATCHED: &str = "unmatched";
/// Route of a request that was answered in the component's place.
pub const UNREPORTED: &str = "unreported";

/// Value of [`ERROR_TYPE`]: the request during which an instance trapped; there is one for each instance lost.
pub const ERROR_PANIC: &str = "panic";
/// Value of [`ERROR_TYPE`]: a request that was answered 500 because its neighbour trapped.
pub const ERROR_NEIGHBOUR: &str = "neighbour_panic";

/// Metric of a batch: requests that were answered and whose telemetry could not be kept.
pub const LOST_REQUESTS: &str = "request_telemetry.lost_requests";
/// Unit of [`LOST_REQUESTS`], in UCUM.
pub const LOST_REQUESTS_UNIT: &str = "{request}";
/// Resource attribute: the series that are to exist though they counted nothing yet, as a JSON array of
/// `[method, route, status]`. As data points they would take ten times the space.
pub const DECLARED: &str = "request_telemetry.declared";
