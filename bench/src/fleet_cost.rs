//! Part `fleet-cost`: what a Prometheus with our rules takes by the number of its targets.
//!
//! The targets are one page of a real replica that served all of the items API, with counters that grow from scrape to scrape,
//! at as many loopback addresses as there are targets.

use crate::{
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    usage::{Cost, Usage},
    workload::{Workload, in_turn},
};
use anyhow::Result;
use axum::{Router, extract::State, routing};
use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use testkit::{
    exposition::Exposition,
    host::Launch,
    http,
    load::Load,
    port,
    process::Process,
    progress, prometheus, root,
    wait::{Seen, Wait},
};
use tokio::{net::TcpListener, time::sleep};

/// Numbers of targets.
const TARGETS: [usize; 3] = [100, 300, 1000];
/// Interval of scrapes and of the rules, as in production.
const INTERVAL: Duration = Duration::from_secs(15);
/// Targets of a network of addresses.
const NETWORK: usize = 250;
const MIB: f64 = 1024.0 * 1024.0;

/// A page whose counters grow.
struct Page {
    lines: Vec<Line>,
    scrapes: AtomicU64,
}

/// A line of a page; a counter's ends before its value.
enum Line {
    Fixed(String),
    Counter(String, u64),
}

impl Page {
    fn new(text: &str) -> Self {
        let line = |line: &str| {
            let counter = line.rsplit_once(' ').and_then(|(series, value)| {
                let is_counter = ["_total{", "_bucket{", "_count{", "_sum{"]
                    .iter()
                    .any(|kind| series.contains(kind));
                let value = value.parse().ok().filter(|value| *value > 0);
                Some(Line::Counter(series.to_owned(), value?)).filter(|_| is_counter)
            });
            counter.unwrap_or_else(|| Line::Fixed(line.to_owned()))
        };
        Self {
            lines: text.lines().map(line).collect(),
            scrapes: AtomicU64::default(),
        }
    }

    fn text(&self) -> String {
        let scrapes = self.scrapes.fetch_add(1, Relaxed);
        let mut text = String::new();
        for line in &self.lines {
            let written = match line {
                Line::Fixed(line) => writeln!(text, "{line}"),
                Line::Counter(series, value) => {
                    writeln!(text, "{series} {}", value.saturating_mul(scrapes))
                }
            };
            written.expect("a string takes all");
        }
        text
    }
}

/// Measures it.
///
/// # Errors
/// If this machine has no Prometheus, or it does not scrape all targets.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let text = page_of_a_replica(setup).await?;
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let columns = TARGETS.map(|targets| targets.to_string());
    let mut tables = [
        ("series in Prometheus", 0),
        ("resident memory, MiB", 0),
        ("CPUs used", 3),
        ("time of an evaluation of all rules, ms", 1),
        ("time of the slowest group of rules, ms", 1),
    ]
    .map(|(what, decimals)| Table::new(format!("{what}, by targets"), decimals));
    for (targets, column) in progress::over("targets", TARGETS).zip(&columns) {
        let page = Arc::new(Page::new(&text));
        let server = serve(page).await?;
        let (prometheus, _data) = Prometheus::start(setup, server, targets)?;
        prometheus.scrapes(targets).await?;
        let mut before = Cost::of(prometheus.process.pid())?;
        for _ in progress::over("round", 1..=rounds) {
            sleep(INTERVAL).await;
            let now = Cost::of(prometheus.process.pid())?;
            let cpus = now.since(before).cpu().as_secs_f64() / INTERVAL.as_secs_f64();
            before = now;
            let page = http::get(prometheus.address, "/metrics").await?;
            let page = Exposition::parse(page.text())?;
            // Groups are evaluated side by side.
            let rules = page.samples("prometheus_rule_group_last_duration_seconds");
            let rules: Vec<_> = rules.map(|(_, seconds)| seconds * 1e3).collect();
            let memory = Usage::of(prometheus.process.pid())?.resident_mib;
            let values = [
                page.sum("prometheus_tsdb_head_series", &[]),
                memory,
                cpus,
                rules.iter().sum(),
                rules.iter().copied().fold(0.0, f64::max),
            ];
            for (table, value) in tables.iter_mut().zip(values) {
                table.push("Prometheus", column, value);
            }
        }
    }
    let most = &columns[TARGETS.len() - 1];
    let memory = tables[1].values("Prometheus", most);
    let figure = Figure::new(
        format!("resident memory of Prometheus with {most} targets, MiB"),
        memory,
        0,
        Goal::AtMost(1536.0),
    );
    let slowest = Figure::new(
        format!("slowest group of rules with {most} targets, ms"),
        tables[4].values("Prometheus", most),
        0,
        Goal::AtMost(5000.0),
    );
    Ok(Report {
        method: format!(
            "A real Prometheus with the rules of production scrapes pages of {series} series ({:.0} KiB) and evaluates the rules every \
             {} s; {rounds} intervals after all targets were scraped.",
            text.len() as f64 / 1024.0,
            INTERVAL.as_secs()
        ),
        figures: vec![figure, slowest],
        tables: tables.into(),
        notes: vec![format!(
            "the head is minutes old: a block of two hours adds about 1.3 bytes for each of 480 samples of a series, {:.1} MiB for each \
             100 targets",
            1.3 * 480.0 * (series * 100) as f64 / MIB
        )],
    })
}

/// Returns the page of a replica that served every kind of request.
async fn page_of_a_replica(setup: &Setup) -> Result<String> {
    let replica = Launch::serve(&setup.binaries.join("metrics-host"))?.state(&setup.scratch()?);
    let replica = replica.start().await?;
    let load = Load::new(replica.api(), in_turn(Workload::Mixed.requests()));
    load.connections(4).count(2000).run().await?.complete()?;
    let page = http::get(replica.metrics(), "/metrics").await?;
    Ok(page.text().to_owned())
}

/// Serves the page at all loopback addresses; returns the port.
async fn serve(page: Arc<Page>) -> Result<u16> {
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let port = listener.local_addr()?.port();
    let answer = async |State(page): State<Arc<Page>>| page.text();
    let router = Router::new()
        .route("/metrics", routing::get(answer))
        .with_state(page);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}

struct Prometheus {
    process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it with the rules of production.
    fn start(setup: &Setup, port: u16, targets: usize) -> Result<(Self, Arc<tempfile::TempDir>)> {
        let folder = setup.scratch()?;
        let address = port::free()?;
        let targets: Vec<_> = (0..targets)
            .map(|index| {
                format!(
                    "\"127.0.{}.{}:{port}\"",
                    1 + index / NETWORK,
                    1 + index % NETWORK
                )
            })
            .collect();
        let seconds = INTERVAL.as_secs();
        let configuration = format!(
            "global: {{scrape_interval: {seconds}s, evaluation_interval: {seconds}s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs: [{{job_name: metrics-host, static_configs: [{{targets: [{}]}}]}}]\n",
            root().join("alerts/rules/*.yml").display(),
            targets.join(", ")
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration)?;
        let process = prometheus::start(folder.path(), address)?;
        Ok((Self { process, address }, folder))
    }

    /// Waits until all `targets` were scraped twice.
    async fn scrapes(&self, targets: usize) -> Result<()> {
        for _ in 0..2 {
            let wait = Wait::up_to(4 * INTERVAL).every(Duration::from_millis(500));
            let scraped = wait.until("scrapes of all targets", async || {
                let query = "/api/v1/query?query=count(up%20%3D%3D%201)";
                let reply = prometheus::ask(self.address, query).await?;
                let count = reply["data"]["result"][0]["value"][1]
                    .as_str()
                    .map(str::to_owned);
                let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
                Ok(Seen::when(count == targets, count))
            });
            scraped.await?;
            sleep(INTERVAL).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_grow_and_all_else_stays() {
        let page = Page::new("# HELP a_total b\na_total{x=\"y\"} 3\ngauge 2\na_total{x=\"z\"} 0\n");
        page.text();
        let second = "# HELP a_total b\na_total{x=\"y\"} 3\ngauge 2\na_total{x=\"z\"} 0\n";
        assert_eq!(page.text(), second);
        assert!(page.text().contains("a_total{x=\"y\"} 6"));
    }
}
