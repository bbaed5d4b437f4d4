//! A running metrics-host, as `make build` leaves it.

use serde_json::Value;
use std::time::Duration;
use telemetry::{
    Observation, Resource, Route, RouteCatalogue, Series, attribute, emitter::Emitter,
};
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

/// Starts `sidecar`, and has a component report its first request there: until then no series names it.
pub(crate) async fn sidecar_of_items() -> Host {
    let host = sidecar().await;
    let resource = Resource {
        service_name: "items".into(),
        service_version: "1".into(),
        component: "items".into(),
        instance: "i".into(),
    };
    let route = Route {
        method: "GET".into(),
        route: "/".into(),
        status: 200,
    };
    let catalogue = RouteCatalogue {
        routes: vec![route],
    };
    let mut emitter = Emitter::new(resource, &catalogue, 1);
    emitter.record(Observation {
        series: Series::new("GET", "/", 200, None),
        duration: Duration::from_millis(1),
    });
    let batch = emitter.freeze(2).unwrap();
    let post = http::request("POST /v1/metrics")
        .header("content-type", "application/json")
        .header(attribute::IDEMPOTENCY_KEY, batch.key.to_string());
    let post = http::with_body(post, batch.body.clone());
    let reply = http::send(host.otlp(), post).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    host
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
