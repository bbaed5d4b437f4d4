//! Names on the wire: from OpenTelemetry's semantic conventions for HTTP, or our own where these define none.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>

/// The histogram of a batch: how long the component took to answer.
pub const REQUEST_DURATION: &str = "http.server.request.duration";
/// Unit of [`REQUEST_DURATION`], in UCUM: seconds.
pub const REQUEST_DURATION_UNIT: &str = "s";
/// One of [`crate::method::KNOWN`], or [`crate::method::OTHER`].
pub const REQUEST_METHOD: &str = "http.request.method";
/// The route template that matched, such as `/items/{id}`.
pub const ROUTE: &str = "http.route";
/// The status of the response.
pub const RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// [`RESPONSE_STATUS_CODE`] of a request whose client left before the response, as in nginx.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The class of an internal exception; absent if there was none.
pub const ERROR_TYPE: &str = "error.type";

/// Resource attribute: random per Wasm instance.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// Resource attribute: the application's name.
pub const SERVICE_NAME: &str = "service.name";
/// [`SERVICE_NAME`] of a sender that names none, as OpenTelemetry's SDKs send it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// Resource attribute: the application's version.
pub const SERVICE_VERSION: &str = "service.version";

/// Instrumentation scope of a batch. Only this scope, with an idempotency key, feeds the `app_*` metrics.
pub const SCOPE: &str = "request-telemetry";
/// Request header that carries a [`crate::BatchKey`].
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Header with the identity of a journal: of a batch, the only one that may count it; of an answer, the receiver's.
pub const JOURNAL: &str = "telemetry-journal";
/// Path at which a receiver answers with its [`JOURNAL`].
pub const JOURNAL_PATH: &str = "/v1/journal";

/// Route of a request that no route of the component matches.
pub const UNMATCHED: &str = "unmatched";
/// Route of a request that has no component: it is malformed, or no trigger matches.
pub const UNREPORTED: &str = "unreported";

/// Value of [`ERROR_TYPE`]: the request during which an instance trapped, one per instance lost.
pub const ERROR_PANIC: &str = "panic";
/// Value of [`ERROR_TYPE`]: a request answered 500 because another one trapped the instance.
pub const ERROR_NEIGHBOUR: &str = "neighbour_panic";

/// The counter of a batch: requests that were answered but whose telemetry was lost.
pub const LOST_REQUESTS: &str = "request_telemetry.lost_requests";
/// Unit of [`LOST_REQUESTS`], in UCUM.
pub const LOST_REQUESTS_UNIT: &str = "{request}";
/// Resource attribute: the component's id in its application. Equal routes of two components stay apart by it.
pub const COMPONENT: &str = "request_telemetry.component";
/// Resource attribute: the series that must exist at 0, as a JSON array of `[method, route, status]`. As data
/// points they would take ten times the space.
pub const DECLARED: &str = "request_telemetry.declared";
