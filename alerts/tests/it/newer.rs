//! Prometheus 3: counters that begin at 0 by their created time, native histograms of classic ones, and the rules' own tests.

use crate::{
    host::serve,
    promtool::succeed,
    rules::{file, stems},
};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};
use testkit::{
    host::Host,
    http, port,
    process::Process,
    prometheus,
    wait::{Seen, until},
};

/// Time for a start and the first scrapes.
const START: Duration = Duration::from_secs(60);
const CREATED: &str = "--enable-feature=created-timestamp-zero-ingestion";
const REQUESTS: &str = r#"app_requests_total{endpoint="/",method="GET",http_status="200"}"#;

struct Prometheus {
    address: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts the one in `programs`, which scrapes `host` each second with these options of the job.
    fn start(programs: &Path, host: &Host, flags: &[&str], options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = host.metrics();
        let configuration = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: host, {options}static_configs: [{{targets: [\"{target}\"]}}]}}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let address = port::free().unwrap().to_string();
        let program = programs.join("prometheus");
        let mut command = prometheus::command(program, folder.path(), &address);
        command.args(flags);
        Self {
            address,
            _process: Process::start(command).unwrap(),
            _folder: folder,
        }
    }

    /// Asks until there is a result.
    async fn ask(&self, query: &str) -> Value {
        let path: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/api/v1/query?query={path}");
        let found = until(query, START, async || {
            let reply = prometheus::ask(&self.address, &path).await?;
            let found = reply["data"]["result"][0].clone();
            Ok(Seen::some((!found.is_null()).then_some(found), reply))
        });
        found.await.unwrap_or_else(|missed| panic!("{missed}"))
    }

    async fn number(&self, query: &str) -> f64 {
        let found = self.ask(query).await;
        found["value"][1].as_str().unwrap().parse().unwrap()
    }
}

async fn serve_requests() -> Host {
    let host = serve().await;
    for _ in 0..20 {
        let reply = http::get(host.api(), "/").await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    host
}

#[tokio::test]
async fn a_replica_that_counts_before_its_first_scrape_loses_nothing_by_its_created_time() {
    let Some(programs) = prometheus::newer("the created time of counters") else {
        return;
    };
    let host = serve_requests().await;
    let with = Prometheus::start(&programs, &host, &[CREATED], "");
    let without = Prometheus::start(&programs, &host, &[], "");
    let twice = format!("count_over_time({REQUESTS}[5m]) > 2");
    for server in [&with, &without] {
        server.ask(&twice).await;
    }
    let first = with.ask(&format!("{REQUESTS}[5m]")).await["values"][0][1].clone();
    assert_eq!(first, "0");
    assert!(with.number(&format!("increase({REQUESTS}[5m])")).await >= 20.0);
    // No other Prometheus takes the first increments without a gate, and none keeps the created time as a series.
    assert_eq!(
        without.number(&format!("increase({REQUESTS}[5m])")).await,
        0.0
    );
    for server in [&with, &without] {
        let created = r#"count({__name__=~".+_created"}) or vector(0)"#;
        assert_eq!(server.number(created).await, 0.0);
    }
}

#[tokio::test]
async fn native_histograms_of_the_buckets_have_the_same_percentiles() {
    let Some(programs) = prometheus::newer("native histograms") else {
        return;
    };
    let host = serve_requests().await;
    let flags = ["--enable-feature=native-histograms"];
    let options =
        "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true, ";
    let server = Prometheus::start(&programs, &host, &flags, options);
    server.ask(&format!("{REQUESTS} == 20")).await;
    for quantile in [0.5, 0.95, 0.99] {
        let of = |series: &str| format!("histogram_quantile({quantile}, {series})");
        let buckets = of("sum by (application, le) (app_request_latency_seconds_bucket)");
        let native = of("sum by (application) (app_request_latency_seconds)");
        let [buckets, native] = [server.number(&buckets).await, server.number(&native).await];
        assert!(
            (buckets / native - 1.0).abs() < 1e-9,
            "{quantile}: {buckets} {native}"
        );
    }
    // One series in place of 14 bounds, +Inf, sum and count.
    let classic = r#"count({__name__=~"app_request_latency_seconds_(bucket|sum|count)"})"#;
    let native = "count(app_request_latency_seconds)";
    assert_eq!(
        server.number(classic).await,
        17.0 * server.number(native).await
    );
}

#[test]
fn its_promtool_accepts_the_rules_and_their_tests() {
    let Some(programs) = prometheus::newer("the rules with the promtool of Prometheus 3") else {
        return;
    };
    let promtool = programs.join("promtool");
    let promtool = promtool.to_str().unwrap();
    for stem in stems("rules", ".yml") {
        let name = format!("{stem}.yml");
        succeed(promtool, &["check", "rules", &name], &file("rules"));
    }
    for stem in stems("tests", "_test.yml") {
        let name = format!("{stem}_test.yml");
        succeed(promtool, &["test", "rules", &name], &file("tests"));
    }
}
