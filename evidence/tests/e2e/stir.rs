//! What no drill does to a system: a trap, telemetry by hand, and telemetry that is refused. The panels for it show how
//! much of each, and that a variable narrows them down.

use anyhow::{Result, ensure};
use bytes::Bytes;
use evidence::{
    connection::{Connection, request},
    prometheus::Prometheus,
    stack::Stack,
    url::BaseUrl,
    wait::{Seen, SystemClock, until},
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{
    Observation, Resource, RouteCatalogue, Series,
    emitter::{Emitter, FrozenBatch},
};

use crate::{expected::STIRRED, panels};

/// How long the panels may take to show it: a few scrapes, and not so many that it is out of their windows again.
const SHOWN: Duration = Duration::from_secs(12);
/// Requests of a host's spans that no component reports.
pub(crate) const UNREPORTED: u64 = 20;
/// How long ago those ended: the gap is that of requests that ended more than a minute ago.
const SETTLED: Duration = Duration::from_secs(100);
/// Requests of which a component says that it lost their telemetry.
pub(crate) const LOST: u64 = 7;

/// Does all of it to a system that was driven and is quiet, and returns what its panels do not show of it.
pub(crate) async fn complaints(stack: &Stack) -> Result<Vec<String>> {
    trap(&stack.system.service.api).await?;
    report(&stack.telemetry).await?;
    let prometheus = &stack.system.prometheus;
    let instance = stack.system.service.operations.authority();
    let shown = until(&SystemClock, "the panels", SHOWN, async || {
        let complaints = shown(prometheus, instance).await?;
        Ok(Seen::when(complaints.is_empty(), complaints.join("\n")))
    });
    let missed = shown.await.err();
    Ok(missed.map(|missed| missed.last).into_iter().collect())
}

async fn shown(prometheus: &Prometheus, instance: &str) -> Result<Vec<String>> {
    let now = SystemTime::now();
    panels::of_table(prometheus, STIRRED, instance, |_| now, |want| want()).await
}

/// Has the component trap.
async fn trap(api: &BaseUrl) -> Result<()> {
    let mut request = request(Method::GET, &api.target("/"), None)?;
    request.headers_mut().insert("x-fault", "panic".parse()?);
    let answer = Connection::open(api).await?.send(request).await?;
    ensure!(
        answer.status == StatusCode::INTERNAL_SERVER_ERROR,
        "{answer:?}"
    );
    Ok(())
}

/// Reports as components and hosts elsewhere do, and as others do.
async fn report(telemetry: &BaseUrl) -> Result<()> {
    let now = SystemTime::now();
    let metrics = "/v1/metrics";
    let [first, _, third] = batches().map(|batch| Bytes::from(batch.body));
    let json = |value: Value| Bytes::from(value.to_string());
    for (path, key, body, status) in [
        // One batch, the same again, and one after the next.
        (metrics, Some("stir-1"), first.clone(), 200),
        (metrics, Some("stir-1"), first.clone(), 200),
        (metrics, Some("stir-3"), third, 200),
        // Neither a message nor a key.
        (metrics, None, json(json!("nonsense")), 400),
        (metrics, Some("stir-0"), first, 400),
        // One point that is counted, and one that is not.
        (metrics, None, json(points()), 200),
        ("/v1/traces", None, json(spans(now - SETTLED)), 200),
    ] {
        let body = ("application/json", body);
        let mut request = request(Method::POST, &telemetry.target(path), Some(body))?;
        if let Some(key) = key {
            request
                .headers_mut()
                .insert("idempotency-key", key.parse()?);
        }
        let answer = Connection::open(telemetry).await?.send(request).await?;
        ensure!(answer.status == status, "{path} {key:?}: {answer:?}");
    }
    Ok(())
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Three batches of a component, of a request each; the last says that telemetry was lost.
fn batches() -> [FrozenBatch; 3] {
    let resource = Resource {
        service_name: "items".into(),
        service_version: "0.1.0".into(),
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

/// Metrics of somebody else: a counter, and a summary, which Prometheus cannot add up.
fn points() -> Value {
    let counter = json!({ "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{ "asInt": "3" }] });
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [
        { "name": "stirred", "sum": counter },
        { "name": "summed_up", "summary": { "dataPoints": [{ "count": "1", "sum": 2.0 }] } },
    ] }] }] })
}

/// Spans of requests that ended at a time.
fn spans(end: SystemTime) -> Value {
    let end = end
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
        .to_string();
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
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}
