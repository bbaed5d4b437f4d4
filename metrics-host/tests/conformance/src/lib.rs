//! Bindings and responses for the conformance cases.
//!
//! Each case is an example of this package, since it becomes a component of its own: one that imports only the
//! interfaces that its case is about.

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(target_arch = "wasm32")]
pub use component::{Failure, bindings, end_with, finish, header, response};

/// Fails the case with the text of the condition, unless it holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(concat!("line ", line!(), ": ", stringify!($condition)).into());
        }
    };
}

/// Makes a component of `fn(&IncomingRequest) -> Result<(), Failure>`: 200 and an empty body, or 500 and the failure.
#[macro_export]
macro_rules! case {
    ($handle:path) => {
        struct Case;

        impl wasip2::exports::http::incoming_handler::Guest for Case {
            fn handle(
                request: wasip2::http::types::IncomingRequest,
                out: wasip2::http::types::ResponseOutparam,
            ) {
                $crate::finish(out, $handle(&request));
            }
        }

        wasip2::http::proxy::export!(Case);
    };
}
