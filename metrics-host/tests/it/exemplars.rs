//! Traces of requests on the latency buckets, as a real Prometheus stores them.

use crate::{
    client::{empty, request, send},
    scrape_gates::prometheus,
    stack,
};
use serde_json::Value;
use std::time::Duration;
use testkit::wait::{Seen, Wait};

const SAMPLED: &str = "0af7651916cd43dd8448eb211c80319c";
const UNSAMPLED: &str = "1af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn prometheus_finds_the_trace_of_a_request() {
    let host = stack::serve().start().await.unwrap();
    let discovery = format!("static_configs: [{{targets: [\"{}\"]}}]", host.metrics());
    let (address, _process, _folder) = prometheus(&discovery, "250ms");
    for parent in [
        format!("00-{SAMPLED}-b7ad6b7169203331-01"),
        format!("00-{UNSAMPLED}-b7ad6b7169203331-00"),
        "00-nonsense\"} 1-01".into(),
    ] {
        let read = request("GET /items/1").header("traceparent", parent);
        assert_eq!(send(host.api(), empty(read)).await.status, 404);
    }
    let path =
        "/api/v1/query_exemplars?query=app_request_latency_seconds_bucket&start=0&end=9999999999";
    let found = Wait::up_to(Duration::from_secs(20)).until("an exemplar", async || {
        let found = testkit::prometheus::ask(address, path).await?;
        let series = found["data"].as_array().filter(|series| !series.is_empty());
        Ok(Seen::some(series.cloned(), &found))
    });
    let series: Vec<Value> = found.await.unwrap();
    let traces = series.iter().flat_map(|series| {
        assert_eq!(series["seriesLabels"]["endpoint"], "/items/{id}");
        series["exemplars"].as_array().unwrap()
    });
    let traces: Vec<_> = traces
        .map(|exemplar| exemplar["labels"]["trace_id"].as_str())
        .collect();
    assert_eq!(traces, [Some(SAMPLED)]);
}
