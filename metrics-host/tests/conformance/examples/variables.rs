//! Variables: one that is set, one that is not, and names that no variable can have.

#![cfg(target_arch = "wasm32")]

use conformance_component::{
    Failure,
    bindings::fermyon::spin::variables::{Error, get},
    ensure,
};
use wasip2::http::types::IncomingRequest;

conformance_component::case!(handle);

fn handle(_: &IncomingRequest) -> Result<(), Failure> {
    ensure!(get("greeting")? == "hello");
    ensure!(matches!(get("farewell"), Err(Error::Undefined(_))));
    for name in ["with-hyphen", "exclaimed!", "7th"] {
        ensure!(matches!(get(name), Err(Error::InvalidName(_))));
    }
    Ok(())
}
