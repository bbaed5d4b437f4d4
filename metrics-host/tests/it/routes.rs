//! Routes without code: a routes file or an OpenAPI document names the endpoints of components that name none.

use crate::{
    client::{self, empty, get, request},
    scrape::Scrape,
    stack::{self, Host, Launch},
    startup::fails,
};
use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A routes file in a folder of its own.
struct File {
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes");
        fs::write(&path, text).unwrap();
        let _folder = folder;
        Self { path, _folder }
    }

    fn given_to(&self, launch: Launch) -> Launch {
        launch.args(&["--routes", self.path.to_str().unwrap()])
    }
}

type Counted = BTreeMap<[String; 4], u64>;

/// Returns the requests of each component, method, endpoint and status; without zeros if `counted`.
async fn requests(host: &Host, counted: bool) -> Counted {
    let scrape = Scrape::of(host.metrics()).await;
    let mut sums = Counted::new();
    for (labels, value) in scrape.samples("app_requests_total") {
        let key = ["component", "method", "endpoint", "http_status"];
        let count = testkit::exposition::whole(value);
        if !counted || count > 0 {
            sums.insert(key.map(|label| labels[label].clone()), count);
        }
    }
    sums
}

fn expected<const N: usize>(rows: [(&str, &str, &str, &str, u64); N]) -> Counted {
    rows.into_iter()
        .map(|(component, method, endpoint, status, count)| {
            (
                [component, method, endpoint, status].map(str::to_owned),
                count,
            )
        })
        .collect()
}

async fn send_all(host: &Host, lines: &[(&str, u16)]) {
    for (line, status) in lines {
        assert_eq!(get(host.api(), line).await.status, *status, "{line}");
    }
}

#[tokio::test]
async fn each_component_is_counted_under_the_routes_of_the_file() {
    let file = File::new(
        "GET /{deed}\nPOST /api/orders 201\n* /api/orders/{id}\nGET /sync/{*rest}\n\
         GET /nowhere/{id}  # no trigger serves it\n",
    );
    let host = file.given_to(stack::serve_misbehaving());
    let host = host.start().await.unwrap();
    let declared = requests(&host, false).await;
    for (component, method, endpoint, status) in [
        ("misbehaving", "GET", "/{deed}", "200"),
        ("misbehaving", "GET", "/{deed}", "504"),
        ("misbehaving", "POST", "/api/orders", "201"),
        ("misbehaving", "POST", "/api/orders/{id}", "200"),
        ("synchronous", "GET", "/sync/{*rest}", "499"),
    ] {
        let series = [component, method, endpoint, status].map(str::to_owned);
        assert_eq!(declared.get(&series), Some(&0), "{series:?}");
    }
    assert!(
        !declared
            .keys()
            .any(|[_, _, endpoint, _]| endpoint.contains("nowhere"))
    );
    host.logged("the route without a trigger", |event| {
        event["level"] == "WARN" && event["route"] == "/nowhere/{id}"
    })
    .await
    .unwrap();

    send_all(
        &host,
        &[
            ("GET /hello", 200),
            ("HEAD /hello?a=/b", 200),
            ("GET /recurse", 500),
            ("GET /status?404", 404),
            ("PUT /api/orders/7/", 200),
            ("GET /api/orders/%37", 200),
            ("OPTIONS /api/orders", 200),
            ("GET /api/orders//7", 200),
            ("GET /api/elsewhere", 200),
            ("GET /sync/a/b", 200),
            ("GET /nowhere/7", 404),
        ],
    )
    .await;
    let counted = requests(&host, true).await;
    assert_eq!(
        counted,
        expected([
            ("", "GET", "unreported", "404", 1),
            ("misbehaving", "GET", "/api/...", "200", 2),
            ("misbehaving", "GET", "/api/orders/{id}", "200", 1),
            ("misbehaving", "GET", "/{deed}", "200", 1),
            ("misbehaving", "GET", "/{deed}", "404", 1),
            ("misbehaving", "GET", "/{deed}", "500", 1),
            ("misbehaving", "HEAD", "/{deed}", "200", 1),
            ("misbehaving", "OPTIONS", "/api/orders", "200", 1),
            ("misbehaving", "PUT", "/api/orders/{id}", "200", 1),
            ("synchronous", "GET", "/sync/{*rest}", "200", 1),
        ])
    );
}

#[tokio::test]
async fn a_route_in_the_headers_wins_and_a_trap_counts_under_that_of_the_document() {
    let file = File::new(
        "openapi: 3.1.0\nservers: [{ url: https://example.com/ }]\npaths:\n  /items:\n    get: { responses: { 200: {} } }\n  /items/{number}:\n    get: {}\n",
    );
    let host = stack::serve().env("METRICS_HOST_ROUTES", file.path.to_str().unwrap());
    let host = host.start().await.unwrap();
    send_all(&host, &[("GET /items/7", 404), ("GET /items", 200)]).await;
    for path in ["/items/7", "/items", "/elsewhere"] {
        let panic = empty(request(&format!("GET {path}")).header("x-fault", "panic"));
        assert_eq!(client::send(host.api(), panic).await.status, 500);
    }
    assert_eq!(
        requests(&host, true).await,
        expected([
            ("items", "GET", "/...", "500", 1),
            ("items", "GET", "/items", "200", 1),
            ("items", "GET", "/items", "500", 1),
            ("items", "GET", "/items/{id}", "404", 1),
            ("items", "GET", "/items/{number}", "500", 1),
        ])
    );
}

#[tokio::test]
async fn an_application_behind_the_proxy_is_counted_under_the_routes_also_while_it_is_away() {
    let file = File::new("GET /orders/{id}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let application = axum::Router::new().fallback(|| async { "fine" });
    let application = tokio::spawn(async { axum::serve(listener, application).await });
    let proxy = stack::proxy(upstream).args(&["--application", "shop"]);
    let host = file.given_to(proxy).start().await.unwrap();
    send_all(&host, &[("GET /orders/7", 200), ("GET /elsewhere", 200)]).await;
    application.abort();
    _ = application.await;
    send_all(&host, &[("POST /orders/7", 502)]).await;
    assert_eq!(
        requests(&host, true).await,
        expected([
            ("shop", "GET", "/...", "200", 1),
            ("shop", "GET", "/orders/{id}", "200", 1),
            ("shop", "POST", "/orders/{id}", "502", 1),
        ])
    );
}

#[tokio::test]
async fn more_routes_than_a_component_has_room_for_are_named_and_count_as_other() {
    let mut routes = String::new();
    for number in 0..300 {
        writeln!(routes, "GET /api/{number}").unwrap();
    }
    writeln!(routes, "GET /api/{}", "x".repeat(90)).unwrap();
    let file = File::new(&routes);
    let host = file.given_to(stack::serve_misbehaving());
    let host = host.start().await.unwrap();
    send_all(&host, &[("GET /api/0", 200), ("GET /api/299", 200)]).await;
    host.logged("the route without room", |event| {
        event["route"] == "/api/299"
    })
    .await
    .unwrap();
    let counted = requests(&host, true).await;
    assert_eq!(
        counted,
        expected([
            ("misbehaving", "GET", "/api/0", "200", 1),
            ("misbehaving", "other", "other", "2xx", 1),
        ])
    );
}

#[tokio::test]
async fn an_unusable_routes_file_is_refused_with_its_line() {
    for (text, parts) in [
        ("GET /a/{x}\nGET /a/{y}\n", ["line 2", "/a/{y}", "/a/{x}"]),
        ("get /a", ["line 1", "\"get\"", "GET, HEAD"]),
        ("swagger: '2.0'", ["OpenAPI", "\"2.0\"", "OpenAPI 3"]),
        ("{\"openapi\": 3", ["OpenAPI", "line 1", "column"]),
        (
            "# nothing\n",
            ["no routes", "GET /orders/{id}", "OpenAPI 3"],
        ),
    ] {
        let file = File::new(text);
        let path = file.path.to_str().unwrap();
        let mut expected = vec!["--routes", "METRICS_HOST_ROUTES", path];
        expected.extend(parts);
        fails(file.given_to(stack::serve()), 2, &expected).await;
    }
    fails(
        stack::serve().args(&["--routes", "/missing/routes"]),
        2,
        &["--routes", "/missing/routes", "No such file"],
    )
    .await;
}
