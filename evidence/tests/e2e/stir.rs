//! Events that no drill causes: a trap, telemetry by hand, and rejected telemetry. The panels show how much of each.

use anyhow::{Result, ensure};
use evidence::{drill::Drill, stack::Stack};
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{
    Observation, Resource, RouteCatalogue, Series,
    emitter::{Emitter, FrozenBatch},
};
use testkit::{
    http::{Client, empty, request, send, with_body},
    wait::{Seen, until},
};

use crate::{expected::STIRRED, panels::of_table};

/// How long the panels may take: a few scrapes, and not so many that the events leave their windows.
const SHOWN: Duration = Duration::from_secs(12);
/// Requests of a host's spans that no component reports.
pub(crate) const UNREPORTED: u64 = 20;
/// How long ago those ended: the gap is that of requests that ended more than a minute ago.
const SETTLED: Duration = Duration::from_secs(100);
/// Requests whose telemetry a component says that it lost.
pub(crate) const LOST: u64 = 7;

/// Causes all of them in a system that was driven and is quiet, and returns the ones that its panels do not show.
pub(crate) async fn complaints(stack: &Stack, drill: &Drill<'_>) -> Result<Vec<String>> {
    let trap = empty(request("GET /").header("x-fault", "panic"));
    let reply = send(stack.system.service.api.authority(), trap).await?;
    ensure!(reply.status == 500, "{reply:?}");
    report(stack).await?;
    let shown = until("the panels", SHOWN, async || {
        let complaints = of_table(drill, STIRRED).await?;
        Ok(Seen::when(complaints.is_empty(), complaints.join("\n")))
    });
    let missed = shown.await.err();
    Ok(missed.map(|missed| missed.last).into_iter().collect())
}

/// Reports as components and hosts elsewhere do, and as others do.
async fn report(stack: &Stack) -> Result<()> {
    let metrics = "/v1/metrics";
    let [first, _, third] = batches().map(|batch| batch.body);
    post(&stack.telemetry, metrics, "stir-1", first.clone(), 200).await?;
    // `increase()` sees only what is added to a series that exists.
    let lost = r#"metrics_host_guest_lost_requests_total{application="orders"}"#;
    let shown = until("the series of a new application", SHOWN, async || {
        let samples = stack.system.monitors[0]
            .prometheus
            .query(lost, Timestamp::now())
            .await?;
        Ok(Seen::when(!samples.is_empty(), "no sample"))
    });
    shown.await?;
    let json = |value: Value| value.to_string().into_bytes();
    for (path, key, body, status) in [
        // The same batch again, and the one after the next.
        (metrics, "stir-1", first.clone(), 200),
        (metrics, "stir-3", third, 200),
        // Neither a message nor a key.
        (metrics, "", json(json!("nonsense")), 400),
        (metrics, "stir-0", first, 400),
        // One point that is counted, and one that is not.
        (metrics, "", json(points()), 200),
        (
            "/v1/traces",
            "",
            json(spans(SystemTime::now() - SETTLED)),
            200,
        ),
    ] {
        post(&stack.telemetry, path, key, body, status).await?;
    }
    Ok(())
}

async fn post(telemetry: &Client, path: &str, key: &str, body: Vec<u8>, status: u16) -> Result<()> {
    let mut request = request(&format!("POST {path}")).header(CONTENT_TYPE, "application/json");
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    let reply = telemetry.send(with_body(request, body)).await?;
    ensure!(reply.status == status, "{path} {key:?}: {reply:?}");
    Ok(())
}

/// Three batches of a component, each of one request; the last says that telemetry was lost.
fn batches() -> [FrozenBatch; 3] {
    let resource = Resource {
        service_name: "orders".into(),
        service_version: "0.1.0".into(),
        component: "orders".into(),
        instance: "stir".into(),
    };
    let mut emitter = Emitter::new(resource, &RouteCatalogue { routes: vec![] }, 1);
    [0, 0, LOST].map(|lost| {
        emitter.record(Observation {
            series: Series::new("GET", "/items", 200, None),
            duration: Duration::from_micros(500),
        });
        emitter.record_lost(lost);
        emitter.freeze(2);
        emitter.settle().unwrap()
    })
}

/// Metrics of another program: a counter, and one that does not say how it adds up.
fn points() -> Value {
    let counter = json!({ "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{ "asInt": "3" }] });
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [
        { "name": "stirred", "sum": counter },
        { "name": "summed_up", "sum": { "dataPoints": [{ "asInt": "1" }] } },
    ] }] }] })
}

/// Spin's spans of requests that ended at a time.
fn spans(end: SystemTime) -> Value {
    let end = end.duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let end = end.to_string();
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let span = json!({
        "name": "GET /...",
        "kind": 2,
        "startTimeUnixNano": end,
        "endTimeUnixNano": end,
        "attributes": [
            text("http.request.method", "GET"),
            text("http.route", "/..."),
            { "key": "http.response.status_code", "value": { "intValue": "200" } },
        ],
    });
    let spans = vec![span; usize::try_from(UNREPORTED).unwrap()];
    json!({ "resourceSpans": [{ "scopeSpans": [{ "scope": { "name": "spin" }, "spans": spans }] }] })
}
