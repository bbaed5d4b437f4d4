//! The wire contract as an application in any language speaks it: the examples of `docs/wire-contract.md`, behind `proxy`.

#[path = "../../../docs/examples/orders.rs"]
mod orders;

use crate::{
    client::{self, empty, get, request},
    scrape::Scrape,
    spin::say,
    stack::{self, workspace},
};
use serde_json::json;
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};
use telemetry::{RouteCatalogue, inline};
use testkit::process::Process;
use tokio::net::TcpListener;

/// Time for an example to start; Go compiles it first.
const START: Duration = Duration::from_secs(120);

/// Starts an example in an interpreter.
async fn run(program: &str, arguments: &[&str], file: &str) -> (Process, SocketAddr) {
    let mut command = Command::new(program);
    command.args(arguments);
    command.arg(workspace("docs/examples").join(file)).arg("0");
    let process = Process::start(command).unwrap();
    let port = process.line("the port", START, |line| {
        line.strip_prefix("listening on port ")?.trim().parse().ok()
    });
    let address = (Ipv4Addr::LOCALHOST, port.await.unwrap()).into();
    (process, address)
}

/// Checks what the application at `upstream` says, first alone and then behind a proxy.
async fn keeps_the_contract(upstream: SocketAddr, error: &str) {
    let told = |reply: &client::Reply, name| reply.headers.get(name).cloned();
    let order = get(upstream, "GET /orders/7").await;
    assert_eq!(order.json(), json!({ "id": 7 }));
    assert_eq!(told(&order, inline::ROUTE_HEADER).unwrap(), "/orders/{id}");
    assert_eq!(told(&order, inline::ERROR_HEADER), None);
    let failed = get(upstream, "GET /orders/seven").await;
    assert_eq!(told(&failed, inline::ERROR_HEADER).unwrap(), *error);
    let describe = format!("GET {}", inline::DESCRIBE_PATH);
    let asked = empty(request(&describe).header(inline::DESCRIBE_HEADER, "routes"));
    let asked = client::send(upstream, asked).await;
    let catalogue = RouteCatalogue::from_json(asked.text().as_bytes()).unwrap();
    assert_eq!(catalogue.routes[0].route, "/orders/{id}");

    let host = stack::proxy(upstream).start().await.unwrap();
    let requests = [("endpoint", "/orders/{id}"), ("http_status", "200")];
    Scrape::until(host.metrics(), "the catalogue", |scrape| {
        scrape.has("app_requests_total", &requests)
    })
    .await;
    for (line, status) in [
        ("GET /orders/7", 200),
        ("GET /orders/8?page=1", 200),
        ("GET /orders/seven", 500),
        ("GET /elsewhere", 404),
        (&describe, 404),
    ] {
        // A client can forge none of the headers: it sees no catalogue, and its request keeps its route.
        let forged = request(line)
            .header(inline::DESCRIBE_HEADER, "routes")
            .header(inline::ROUTE_HEADER, "/forged");
        let reply = client::send(host.api(), empty(forged)).await;
        assert_eq!(reply.status, status, "{line}");
        let names = reply.headers.keys().map(|name| name.as_str());
        let internal: Vec<_> = names
            .filter(|name| name.starts_with("telemetry-"))
            .collect();
        assert_eq!(internal, [""; 0], "{line}");
        let is_exception = status == 500;
        assert_eq!(reply.headers.contains_key("x-request-id"), is_exception);
    }
    let scrape = Scrape::of(host.metrics()).await;
    let count = |endpoint, status| {
        let labels = [("endpoint", endpoint), ("http_status", status)];
        scrape.sum("app_requests_total", &labels)
    };
    assert_eq!(count("/orders/{id}", "200"), 2.0);
    assert_eq!(count("/orders/{id}", "500"), 1.0);
    assert_eq!(
        scrape.sum("app_requests_total", &[("http_status", "404")]),
        2.0
    );
    assert_eq!(
        scrape.sum("app_requests_total", &[("endpoint", "/forged")]),
        0.0
    );
    assert_eq!(scrape.sum("app_errors_total", &[]), 1.0);
    assert_eq!(scrape.total(), 5);
    let told = host.logged("the exception", |event| event["error"] == error);
    told.await.unwrap();
}

#[tokio::test]
async fn the_example_in_rust_keeps_the_contract() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, orders::orders()).await });
    keeps_the_contract(address, "ParseIntError").await;
}

#[tokio::test]
async fn the_example_in_python_keeps_the_contract() {
    let (_process, address) = run("python3", &[], "orders.py").await;
    keeps_the_contract(address, "ValueError").await;
}

#[tokio::test]
async fn the_example_in_javascript_keeps_the_contract() {
    let (_process, address) = run("node", &[], "orders.mjs").await;
    keeps_the_contract(address, "SyntaxError").await;
}

#[tokio::test]
async fn the_example_in_go_keeps_the_contract() {
    let mut go = Command::new("go");
    if go.arg("version").stdout(Stdio::null()).status().is_err() {
        say("skipped: go is not installed, so its example was not tested");
        return;
    }
    let (_process, address) = run("go", &["run"], "orders.go").await;
    keeps_the_contract(address, "*strconv.NumError").await;
}
