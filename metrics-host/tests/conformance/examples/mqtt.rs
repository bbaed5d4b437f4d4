//! A message for an MQTT broker that asks for a password.

#![cfg(target_arch = "wasm32")]

use conformance_component::{
    Failure,
    bindings::fermyon::spin::mqtt::{Connection, Qos},
    header,
};
use wasip2::http::types::IncomingRequest;

conformance_component::case!(handle);

fn handle(request: &IncomingRequest) -> Result<(), Failure> {
    let broker = Connection::open(&header(request, "address")?, "user", "password", 30)?;
    for qos in [Qos::AtLeastOnce, Qos::AtMostOnce, Qos::ExactlyOnce] {
        broker.publish("conformance", b"a message", qos)?;
    }
    Ok(())
}
