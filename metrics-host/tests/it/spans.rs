//! Applications that are counted from Spin's server spans alone.

use crate::{
    client::{self, get, request, with_body},
    scrape::Scrape,
    sidecar::{batch_of, post as post_batch},
    spin::Spin,
    stack::{self, Host},
};
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::process::Signal;

/// Sends a request as Spin 4.1 does: the span of the component, then the server span around it.
async fn export(host: &Host, service: &str, status: &str, exception: Option<&str>) {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let mut attributes = vec![
        text("http.request.method", "GET"),
        text("url.path", "/items"),
        text("http.route", "/..."),
        text("http.response.status_code", status),
    ];
    attributes.extend(exception.map(|exception| text("error.type", exception)));
    let span = |name: &str, kind: u8, id: &str, parent: &str, attributes: Value| {
        json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "parentSpanId": parent, "name": name,
                "kind": kind, "startTimeUnixNano": "1000000", "endTimeUnixNano": "4000000", "attributes": attributes })
    };
    let spans = [
        span(
            "execute_wasm_component carts",
            1,
            "5dde36125d0fb5aa",
            "49fec575f344811c",
            json!([]),
        ),
        span("GET /...", 2, "49fec575f344811c", "", json!(attributes)),
    ];
    let body = json!({ "resourceSpans": [{ "resource": { "attributes": [text("service.name", service)] },
        "scopeSpans": [{ "scope": { "name": "spin" }, "spans": spans }] }] });
    let post = request("POST /v1/traces").header("content-type", "application/json");
    let reply = client::send(host.otlp(), with_body(post, body.to_string().into_bytes())).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "{}"));
}

fn requests(scrape: &Scrape, application: &str, component: &str) -> f64 {
    let names = [("application", application), ("component", component)];
    scrape.sum("app_requests_total", &names)
}

fn is_counted(scrape: &Scrape, application: &str, way: &str) -> bool {
    let labels = [("application", application), ("way", way)];
    scrape.sum("app_counted_by", &labels) == 1.0
}

#[tokio::test]
async fn spans_alone_fill_the_application_s_metrics_and_are_marked() {
    let host = stack::sidecar().start().await.unwrap();
    for (status, exception) in [
        ("200", None),
        ("404", None),
        (
            "500",
            Some("worker trapped or panicked\n\nStack backtrace:\n   0: <unknown>"),
        ),
    ] {
        export(&host, "spin", status, exception).await;
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(requests(&scrape, "spin", "carts"), 3.0);
    let failed = [("endpoint", "/..."), ("http_status", "500")];
    assert_eq!(scrape.sum("app_requests_total", &failed), 1.0);
    assert_eq!(
        scrape.sum("app_errors_total", &[("component", "carts")]),
        1.0
    );
    // From the start of the span to its end.
    let bucket = |le: &str| scrape.sum("app_request_latency_seconds_bucket", &[("le", le)]);
    assert_eq!((bucket("0.0025"), bucket("0.005")), (0.0, 3.0));
    assert!(is_counted(&scrape, "spin", "spans"));
    let failures = scrape.sum("app_component_failures_total", &[]);
    assert_eq!(failures, 0.0);
    let page = get(host.metrics(), "GET /").await;
    let said = "counted from Spin's spans, which are not exact: spin";
    assert!(
        page.text().replace("&#39;", "'").contains(said),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn nobody_is_counted_twice_when_spans_and_components_report() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let host = stack::sidecar().state(&state).start().await.unwrap();
    // Spans may come first, under both names.
    for service in ["spin", "items", "blog"] {
        export(&host, service, "200", None).await;
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.total(), 3);
    let batch = batch_of("items", "items", "a", 5).to_string().into_bytes();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "a-1"),
    ];
    assert_eq!(post_batch(&host, &headers, batch).await.status, 200);
    let check = async |host: &Host, blog: f64| {
        let scrape = Scrape::of(host.metrics()).await;
        assert_eq!(requests(&scrape, "items", "items"), 5.0);
        assert_eq!(requests(&scrape, "blog", "carts"), blog);
        assert_eq!(
            scrape.total() as f64,
            5.0 + blog,
            "neither `spin` nor spans of `items`"
        );
        assert!(is_counted(&scrape, "items", "components"));
        assert!(is_counted(&scrape, "blog", "spans"));
        for application in ["spin", "items"] {
            assert!(!is_counted(&scrape, application, "spans"), "{application}");
        }
        let seen = scrape.sum("spin_http_requests_total", &[]);
        assert_eq!(
            seen,
            2.0 + 2.0 * (blog - 1.0) + blog,
            "the host's own view has all"
        );
    };
    check(&host, 1.0).await;
    host.signal(Signal::TERM).unwrap();
    host.end().await.unwrap();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    for service in ["spin", "items", "blog"] {
        export(&host, service, "200", None).await;
    }
    check(&host, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_application_under_spin_is_counted_from_its_spans() {
    const REQUESTS: usize = 50;
    if Spin::version("Spin's spans alone").is_none() {
        return;
    }
    let sidecar = stack::sidecar().start().await.unwrap();
    let state = Arc::new(tempfile::tempdir().unwrap());
    let spin = Spin::start_unchanged(sidecar.otlp(), &state).await;
    for _ in 0..REQUESTS {
        assert_eq!(get(spin.api, "GET /items").await.status, 200);
    }
    let scrape = Scrape::until(sidecar.metrics(), "all spans", |scrape| {
        requests(scrape, "spin", "items") == REQUESTS as f64
    });
    assert!(is_counted(&scrape.await, "spin", "spans"));
}
