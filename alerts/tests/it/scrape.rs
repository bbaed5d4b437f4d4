//! A real Prometheus that scrapes metrics-host and evaluates the rules.

use crate::host::serve;
use alerts::{Addresses, Variant, render};
use std::{fs, time::Duration};
use testkit::{
    http, port, prometheus,
    wait::{Seen, until},
};

/// Time for a start and the first scrapes.
const START: Duration = Duration::from_secs(60);

#[tokio::test]
async fn prometheus_reads_the_page_as_open_metrics_and_evaluates_every_rule() {
    let host = serve().await;
    let reply = http::get(host.api(), "/").await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let address = port::free().unwrap().to_string();
    let addresses = Addresses {
        metrics_host: host.metrics().to_string(),
        prometheus: address.clone(),
        ..Addresses::loopback()
    };
    let folder = tempfile::tempdir().unwrap();
    for file in render(Variant::Test, &addresses).unwrap() {
        let path = folder.path().join(file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.text).unwrap();
    }
    let prometheus =
        prometheus::start(folder.path(), &address).unwrap_or_else(|error| panic!("{error:#}"));
    let get = async |path: &str| {
        let reply = prometheus::ask(&address, path).await?;
        anyhow::Ok(reply["data"].clone())
    };
    let ask = async |query: &str| {
        let found = get(&format!("/api/v1/query?query={query}")).await?;
        let value = found["result"][0]["value"][1].as_str().map(str::to_owned);
        anyhow::Ok(value)
    };
    // Recorded: the rules were evaluated after a scrape.
    let recorded = until("a recorded rate", START, async || {
        let rate = ask("application:app_requests:rate5m").await?;
        Ok(Seen::some(rate, "none".to_owned()))
    });
    recorded
        .await
        .unwrap_or_else(|missed| panic!("{missed}\n{}", prometheus.log()));
    let counted = "app_requests_total{endpoint=\"/\",method=\"GET\",http_status=\"200\"}";
    let counted = counted
        .replace('{', "%7B")
        .replace('}', "%7D")
        .replace('"', "%22");
    assert_eq!(ask(&counted).await.unwrap().as_deref(), Some("1"));
    // The text format has le="1".
    let bound = "count(app_request_latency_seconds_bucket%7Ble=%221.0%22%7D)";
    assert!(ask(bound).await.unwrap().is_some());
    let created = "count(%7B__name__=~%22.%2B_created%22%7D)";
    assert_eq!(ask(created).await.unwrap(), None);
    let failing = until("every rule to be evaluated", START, async || {
        let groups = get("/api/v1/rules").await?;
        let groups = groups["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let failing: Vec<_> = rules
            .filter(|rule| rule["health"] != "ok")
            .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
            .collect();
        Ok(Seen::when(failing.is_empty(), format!("{failing:?}")))
    });
    failing.await.unwrap_or_else(|missed| panic!("{missed}"));
}
