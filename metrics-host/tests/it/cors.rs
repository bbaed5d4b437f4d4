//! Web pages that send OTLP across origins.

use crate::{
    browser::{Browser, View},
    client::{self, Reply, empty, request, with_body},
    scrape::Scrape,
    stack::{self, Host},
};
use serde_json::json;

const SHOP: &str = "https://shop.example";

async fn preflight(host: &Host, origin: &str) -> Reply {
    let asked = request("OPTIONS /v1/metrics")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type,content-encoding,x-team",
        );
    client::send(host.otlp(), empty(asked)).await
}

async fn post(host: &Host, origin: &str, body: &'static str) -> Reply {
    let post = request("POST /v1/metrics")
        .header("content-type", "application/json")
        .header("origin", origin);
    client::send(host.otlp(), with_body(post, body)).await
}

async fn refused(host: &Host) -> f64 {
    let scrape = Scrape::of(host.metrics()).await;
    scrape.sum(
        "metrics_host_ingest_rejected_total",
        &[("reason", "origin")],
    )
}

#[tokio::test]
async fn no_web_page_may_send_by_default() {
    let host = stack::sidecar().start().await.unwrap();
    let start = Scrape::of(host.metrics()).await;
    assert!(start.has(
        "metrics_host_ingest_rejected_total",
        &[("reason", "origin")]
    ));
    for reply in [
        preflight(&host, SHOP).await,
        post(&host, SHOP, "{}").await,
        preflight(&host, "null").await,
    ] {
        assert_eq!(reply.status, 403);
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert!(
            reply.text().contains("--otlp-allowed-origin"),
            "{}",
            reply.text()
        );
    }
    assert_eq!(refused(&host).await, 3.0);
    // Not a preflight.
    let options = client::send(host.otlp(), empty(request("OPTIONS /v1/metrics"))).await;
    assert_eq!(
        (options.status.as_u16(), options.header("allow")),
        (405, Some("POST"))
    );
}

#[tokio::test]
async fn pages_of_named_origins_may_send_and_read_the_answer() {
    let host = stack::sidecar()
        .args(&["--otlp-allowed-origin", "http://localhost:3000"])
        .args(&["--otlp-allowed-origin", SHOP])
        .start()
        .await
        .unwrap();
    let reply = preflight(&host, SHOP).await;
    assert_eq!(reply.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", SHOP),
        ("access-control-allow-methods", "POST"),
        (
            "access-control-allow-headers",
            "content-type,content-encoding,x-team",
        ),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "7200"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let vary = reply
        .headers
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap());
    let vary = vary.collect::<Vec<_>>().join(", ");
    for name in [
        "origin",
        "access-control-request-method",
        "access-control-request-headers",
    ] {
        assert!(vary.contains(name), "{vary}");
    }
    for (body, status) in [("{}", 200), ("{", 400)] {
        let reply = post(&host, SHOP, body).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some(SHOP));
        assert_eq!(reply.header("vary"), Some("origin"));
    }
    for origin in [
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil",
        "null",
    ] {
        assert_eq!(preflight(&host, origin).await.status, 403, "{origin}");
        assert_eq!(post(&host, origin, "{}").await.status, 403, "{origin}");
    }
    assert_eq!(refused(&host).await, 8.0);
}

#[tokio::test]
async fn a_star_allows_all_origins() {
    let host = stack::sidecar()
        .env("METRICS_HOST_OTLP_ALLOWED_ORIGIN", "*")
        .start()
        .await
        .unwrap();
    for reply in [
        preflight(&host, SHOP).await,
        post(&host, "null", "{}").await,
    ] {
        assert!(reply.status.is_success());
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn an_origin_with_a_path_stops_the_start() {
    let launch = stack::sidecar().args(&["--otlp-allowed-origin", "https://shop.example/"]);
    let (code, stderr) = launch.fail().await.unwrap();
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("--otlp-allowed-origin") && stderr.contains("without a path"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_chromium_sends_only_where_it_may() {
    // Any page will do; the status page of another host forbids all requests by its policy.
    let page = stack::serve_misbehaving().start().await.unwrap();
    let origin = format!("http://{}", page.api());
    let open = stack::sidecar()
        .args(&["--otlp-allowed-origin", &origin])
        .start()
        .await
        .unwrap();
    let closed = stack::sidecar().start().await.unwrap();
    let body = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [
        { "name": "views", "sum": { "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{ "asInt": 1 }] } },
    ] }] }] });
    let send = |host: &Host| {
        format!(
            "fetch('http://{}/v1/metrics', {{ method: 'POST', body: JSON.stringify({body}), \
             headers: {{ 'content-type': 'application/json', 'x-team': 'web' }} }}) \
             .then((reply) => reply.text(), (error) => error.name)",
            host.otlp()
        )
    };
    let (to_open, to_closed) = (send(&open), send(&closed));
    let api = page.api();
    let answers = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(
            api,
            "/fine",
            View {
                width: 800,
                scheme: "light",
            },
        );
        [browser.evaluate(&to_open), browser.evaluate(&to_closed)]
    });
    assert_eq!(answers.await.unwrap(), ["{}", "TypeError"]);
    assert_eq!(
        Scrape::of(open.metrics()).await.sum("views_total", &[]),
        1.0
    );
    assert_eq!(refused(&closed).await, 1.0);
}
