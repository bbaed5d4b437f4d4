//! Exports the HTTP handler of a component twice: by `wasi:http/handler`, for every host, and by
//! `metrics-host:buffered-http/handler`, which passes short requests and responses as values.
//!
//! ```ignore
//! buffered_http::export!(handle);
//!
//! async fn handle(request: http::Request<buffered_http::Body>) -> http::Response<FullBody<Bytes>> {
//!     http::Response::new(FullBody::new("hello".into()))
//! }
//! ```
//!
//! A host calls either for a request, and the handler cannot tell which. The interface, in `wit/buffered-http.wit`, says
//! when a host may call it. A response that is long, has trailers, or is not complete yet streams by `wasi:http` in any
//! case, so the handler runs once for each request.

#![cfg(target_arch = "wasm32")]

mod request;
mod response;

pub use request::{Body, BodyError, FromHost, Request};
pub use response::{IntoResponse, to_wasi};
#[doc(hidden)]
pub use spin_sdk::wasip3;

use bindings::exports::metrics_host::buffered_http::handler as value;
use wasip3::http::types::{self, ErrorCode};

/// Bindings generated from `wit/`, for [`export!`].
#[allow(
    missing_docs,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
#[doc(hidden)]
pub mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "wit",
        world: "buffered-handler",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        with: {
            "wasi:clocks/types@0.3.0": spin_sdk::wasip3::clocks::types,
            "wasi:http/types@0.3.0": spin_sdk::wasip3::http::types,
        },
        pub_export_macro: true,
        export_macro_name: "export_buffered_handler",
    });
}

/// Exports a handler: an async function from a [`FromHost`] to an [`IntoResponse`].
#[macro_export]
macro_rules! export {
    ($handler:expr) => {
        const _: () = {
            struct Component;

            impl $crate::wasip3::exports::http::handler::Guest for Component {
                async fn handle(
                    request: $crate::wasip3::http::types::Request,
                ) -> ::core::result::Result<
                    $crate::wasip3::http::types::Response,
                    $crate::wasip3::http::types::ErrorCode,
                > {
                    $crate::handle_wasi(request, $handler).await
                }
            }

            impl $crate::bindings::exports::metrics_host::buffered_http::handler::Guest for Component {
                async fn handle(
                    request: $crate::bindings::exports::metrics_host::buffered_http::handler::Request,
                ) -> ::core::result::Result<
                    $crate::bindings::exports::metrics_host::buffered_http::handler::Answer,
                    $crate::wasip3::http::types::ErrorCode,
                > {
                    $crate::handle_value(request, $handler).await
                }
            }

            $crate::wasip3::http::service::export!(Component);
            $crate::bindings::export_buffered_handler!(Component with_types_in $crate::bindings);
        };
    };
}

#[doc(hidden)]
pub async fn handle_wasi<Q: FromHost, R: IntoResponse>(
    request: types::Request,
    handler: impl AsyncFnOnce(Q) -> R,
) -> Result<types::Response, ErrorCode> {
    let response = handler(Q::from_wasi(request)?).await;
    to_wasi(response.into_response()?)
}

#[doc(hidden)]
pub async fn handle_value<Q: FromHost, R: IntoResponse>(
    request: value::Request,
    handler: impl AsyncFnOnce(Q) -> R,
) -> Result<value::Answer, ErrorCode> {
    let response = handler(Q::from_value(request)?).await;
    response::to_answer(response.into_response()?).await
}
