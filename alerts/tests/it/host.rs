//! A running metrics-host, as `make build` leaves it.

use serde_json::Value;
pub(crate) use testkit::host::Host;
use testkit::{
    exposition::Exposition,
    host::{Launch, built, require},
    http,
};

const COMPONENT: &str = "target/wasm32-wasip2/component/items_component.wasm";

/// Starts `serve` of the items component.
pub(crate) async fn serve() -> Host {
    require(COMPONENT, "make build").unwrap();
    let launch = Launch::serve(&built().unwrap()).unwrap();
    launch.start().await.unwrap()
}

/// Starts `sidecar`.
pub(crate) async fn sidecar() -> Host {
    let launch = Launch::sidecar(&built().unwrap()).unwrap();
    launch.start().await.unwrap()
}

/// Reads `/metrics`.
pub(crate) async fn scrape(host: &Host) -> Exposition {
    let reply = http::get(host.metrics(), "/metrics").await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    Exposition::parse(reply.text()).unwrap()
}

/// Posts JSON to the ingest, and returns the status of the answer.
pub(crate) async fn post(host: &Host, path: &str, body: &Value) -> u16 {
    let post = http::json(&format!("POST {path}"), body.to_string());
    let reply = http::send(host.otlp(), post).await.unwrap();
    reply.status.as_u16()
}
