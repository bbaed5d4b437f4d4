//! Counts the requests of a Spin component written in Rust, each exactly once.
//!
//! Export the handler, and say which route a request matched:
//!
//! ```ignore
//! use http::{Request, Response};
//! use request_telemetry as telemetry;
//! use spin_sdk::http::FullBody;
//!
//! static APP: telemetry::App = telemetry::App {
//!     service: "shop",
//!     version: env!("CARGO_PKG_VERSION"),
//!     component: "orders",
//!     catalogue: telemetry::RouteCatalogue::default,
//! };
//!
//! telemetry::http_service!(APP, handle);
//!
//! async fn handle(request: Request<telemetry::Body>) -> Response<FullBody<bytes::Bytes>> {
//!     telemetry::route("/orders/{id}");
//!     Response::new(FullBody::new(bytes::Bytes::from("an order")))
//! }
//! ```
//!
//! `http_service!` exports two interfaces: `wasi:http/handler`, for every host, and `metrics-host:buffered-http/handler`,
//! by which `metrics-host serve` passes short requests as values, in less CPU time. A component that exports its own
//! handler, such as with `#[http_service]` of spin-sdk, has it call `serve`.
//!
//! An axum router names its routes itself: feature `axum`, and `telemetry::routes(router)`. A list of routes, as
//! `metrics-host serve --routes` reads it, names them for a component without a router: feature `routes`, and
#![cfg_attr(feature = "routes", doc = "[`RouteList`].")]
#![cfg_attr(not(feature = "routes"), doc = "`RouteList`.")]
//!
//! # Manifest
//!
//! ```toml
//! [component.orders]
//! allowed_outbound_hosts = ["http://{{ telemetry_host }}"]
//! key_value_stores = ["default"]
//!
//! [component.orders.variables]
//! telemetry = "{{ telemetry }}"
//! telemetry_host = "{{ telemetry_host }}"
//! ```
//!
//! | `telemetry` | the requests are counted by |
//! |---|---|
//! | `inline` | `metrics-host serve` or `proxy` in front, which reads and removes two response headers |
//! | `otlp` | `metrics-host sidecar` at `telemetry_host` (`host:port`), which receives batches |
//! | `off` | nobody |
//!
//! With a variable that is missing or wrong, every request gets a 500, and the log names the variable.
//!
//! # With `otlp`
//!
//! Telemetry never delays or fails a response. Unsent batches wait in the key-value store `default`, under keys that
//! begin with `request-telemetry/`; a panic hook puts them there, too. A trap without a panic (a stack overflow, or memory
//! that runs out) takes the unsent counts of its instance along. The rules are those of [`telemetry::sender`].
//!
//! A panic hook writes once, and waits while another call holds Spin's key-value store. Each call is short, with one
//! exception: while a component reads a stream of keys (`Store::get_keys` of spin-sdk 7), Spin keeps the store locked. A
//! panic meanwhile in the same instance blocks it, so do not keep such a stream open.

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "natively only the tests count requests")
)]

mod in_flight;
#[cfg(feature = "routes")]
mod route_list;
mod settings;

#[cfg(target_arch = "wasm32")]
mod body;
#[cfg(target_arch = "wasm32")]
mod outbox;
#[cfg(target_arch = "wasm32")]
mod report;
#[cfg(target_arch = "wasm32")]
mod serve;
#[cfg(target_arch = "wasm32")]
mod transport;

#[cfg(target_arch = "wasm32")]
pub use body::CountedBody;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use buffered_http;
#[cfg(target_arch = "wasm32")]
pub use buffered_http::{Body, BodyError, IntoResponse, Request};
#[cfg(target_arch = "wasm32")]
pub use report::Reporter;
#[cfg(feature = "routes")]
pub use route_list::RouteList;
#[cfg(target_arch = "wasm32")]
pub use serve::{respond, serve};
pub use telemetry::{Route, RouteCatalogue, attribute};

use std::borrow::Cow;

/// Exports the handler of a component, whose requests are counted: `http_service!(APP, handle)`. `APP` is a static
/// [`App`], and `handle` an `async fn` from a [`Request`], or an [`http::Request`] with a [`Body`], to an [`IntoResponse`].
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! http_service {
    ($app:expr, $handler:expr) => {
        $crate::buffered_http::export!(
            async |request| $crate::respond(&$app, request, $handler).await
        );
    };
}

/// The component, as its metrics name it.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// Name of the application.
    pub service: &'static str,
    /// Version of the application.
    pub version: &'static str,
    /// Id of the component in `spin.toml`.
    pub component: &'static str,
    /// Returns the operations, so that each has its series before the first request.
    pub catalogue: fn() -> RouteCatalogue,
}

/// The parts of a request that telemetry reads.
pub trait Incoming {
    /// Returns the method.
    fn method(&self) -> &str;
    /// Returns the path, which a query may follow.
    fn target(&self) -> &str;
    /// Returns whether the request has this header.
    fn has_header(&self, name: &str) -> bool;
}

impl<B> Incoming for http::Request<B> {
    fn method(&self) -> &str {
        self.method().as_str()
    }

    fn target(&self) -> &str {
        self.uri().path()
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers().contains_key(name)
    }
}

#[cfg(target_arch = "wasm32")]
impl Incoming for Request {
    fn method(&self) -> &str {
        self.method().as_str()
    }

    fn target(&self) -> &str {
        self.target()
    }

    fn has_header(&self, name: &str) -> bool {
        self.has_header(name)
    }
}

/// Names the route template of the current request, such as `/orders/{id}`. Without it, the request counts as
/// [`attribute::UNMATCHED`]. Call it before the work begins, so that a panic is counted under it.
pub fn route(template: impl Into<Cow<'static, str>>) {
    in_flight::route(template.into());
}

/// Names the class of the internal exception behind the current response, such as `DatabaseError`.
pub fn exception(class: impl Into<Cow<'static, str>>) {
    in_flight::exception(class.into());
}

/// Has a router name the route of each request, by axum's `MatchedPath`. Call it once all routes are added.
#[cfg(feature = "axum")]
pub fn routes<S: Clone + Send + Sync + 'static>(router: axum::Router<S>) -> axum::Router<S> {
    use axum::{
        extract::{MatchedPath, Request},
        middleware::{Next, from_fn},
    };
    router.route_layer(from_fn(
        async |path: MatchedPath, request: Request, next: Next| {
            route(path.as_str().to_owned());
            next.run(request).await
        },
    ))
}
