//! Part `ingest`: posts that a receiver of OTLP acknowledges per second. metrics-host has its journal on disk by then;
//! VictoriaMetrics, beside it with the same bodies, writes to disk a moment later.

use crate::{
    payload::{Template, batches, single, sums, thousand},
    report::{Figure, Goal, Report, Table},
    setup::{Setup, output},
    usage::Usage,
    workload::in_turn,
};
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use otlp::Encoding;
use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    exposition::Exposition,
    host::Host,
    http,
    load::{Load, Planned, Tally},
    port,
    process::Process,
    progress,
    wait::{Seen, Wait},
};

/// Connections of the load generator.
pub const CONNECTIONS: usize = 128;
/// Data points of a large post.
const POINTS: usize = 1000;
/// Metrics of the exports without a key, one in each; together they have 16 000 series.
const METRICS: usize = 16;
/// The family that batches add to.
const REQUESTS: &str = "app_requests_total";
/// The begin of the names of sums without a key: in OTLP, and on the page.
const SUM: [&str; 2] = ["bench.points", "bench_points_"];
const OURS: &str = "metrics-host";
const VICTORIA_METRICS: &str = "VictoriaMetrics";
/// Where VictoriaMetrics takes in OTLP: <https://docs.victoriametrics.com/victoriametrics/integrations/opentelemetry/>
const PATH: &str = "/opentelemetry/v1/metrics";
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest start.
const START: Duration = Duration::from_secs(30);

/// A kind of posts without a key, which any receiver takes.
#[derive(Clone, Copy, PartialEq)]
struct Export {
    name: &'static str,
    encoding: Encoding,
    points: usize,
}

const EXPORTS: [Export; 3] = [
    Export {
        name: "protobuf, 1 000 points",
        encoding: Encoding::Protobuf,
        points: POINTS,
    },
    Export {
        name: "JSON, 1 000 points",
        encoding: Encoding::Json,
        points: POINTS,
    },
    Export {
        name: "protobuf, 1 point",
        encoding: Encoding::Protobuf,
        points: 1,
    },
];
/// Kinds of batches with a key, which metrics-host counts once.
const BATCHES: [&str; 2] = ["batches, JSON, 1 000 points", "batches, JSON, 1 request"];

/// VictoriaMetrics of Debian unstable.
struct VictoriaMetrics {
    process: Process,
    address: SocketAddr,
    _data: TempDir,
}

/// Measures it.
///
/// # Errors
/// If the sidecar does not start, a receiver refuses a post, or the sidecar does not count exactly what it acknowledged.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(2.0);
    let sidecar = setup.sidecar().await?;
    let mut notes = Vec::new();
    let peer = match VictoriaMetrics::start(setup).await {
        Ok(peer) => Some(peer),
        Err(reason) => {
            notes.push(format!("{VICTORIA_METRICS}: left out, {reason:#}"));
            None
        }
    };
    let mut rates = Table::new("data points/s", 0);
    let templates = [thousand(), single()];
    let [mut counted, mut summed] = [0, 0];
    let otlp = sidecar.otlp();
    for round in progress::over("round", 0..=rounds) {
        // The first one makes the series.
        let time = if round == 0 { WARM_UP } else { time };
        let mut push = |name, kind, rate| {
            if round > 0 {
                rates.push(name, kind, rate);
            }
        };
        for export in EXPORTS {
            let ours = async {
                let posted = export.post(otlp, None, time).await?;
                anyhow::Ok((OURS, posted))
            };
            let theirs = async {
                let peer = peer
                    .as_ref()
                    .filter(|_| export.encoding == Encoding::Protobuf);
                let Some(peer) = peer else { return Ok(None) };
                let posted = export.post(peer.address, Some(PATH), time).await?;
                anyhow::Ok(Some((VICTORIA_METRICS, posted)))
            };
            // Another goes first in each round.
            let (ours, theirs) = if round % 2 == 0 {
                let theirs = theirs.await?;
                (ours.await?, theirs)
            } else {
                (ours.await?, theirs.await?)
            };
            summed += ours.1.answers * export.points as u64;
            for (name, posted) in [Some(ours), theirs].into_iter().flatten() {
                push(name, export.name, posted.rate() * export.points as f64);
            }
        }
        for ((name, template), points) in BATCHES.iter().zip(&templates).zip([POINTS, 1]) {
            let posted = post_batches(otlp, template, time).await?;
            counted += posted.answers * points as u64;
            push(OURS, *name, posted.rate() * points as f64);
        }
    }
    // Before the page is read, which takes memory.
    let mut memory = Table::new("resident memory, MiB", 1);
    let mut note_memory = |name, pid| {
        let usage = Usage::of(pid)?;
        memory.push(name, "peak", usage.peak_mib);
        memory.push(name, "at the end", usage.resident_mib);
        anyhow::Ok(usage)
    };
    let usage = note_memory(OURS, sidecar.process.pid())?;
    if let Some(peer) = &peer {
        note_memory(VICTORIA_METRICS, peer.process.pid())?;
    }
    check(&sidecar, [(REQUESTS, counted), (SUM[1], summed)]).await?;
    let [protobuf, json, one] = EXPORTS.map(|export| export.name);
    let ratio = |of: [&str; 2], to: [&str; 2], goal| {
        let what = if of[1] == to[1] {
            format!("{}: data points/s, {} to {}, ratio", of[1], of[0], to[0])
        } else {
            format!("data points/s, {} to {}, ratio", of[1], to[1])
        };
        Figure::new(what, &rates.ratios(of, to), 2, Goal::AtLeast(goal))
    };
    let peak = "resident memory of the sidecar, peak, MiB";
    let figures = vec![
        ratio([OURS, protobuf], [VICTORIA_METRICS, protobuf], 1.0),
        ratio([OURS, json], [OURS, protobuf], 0.5),
        ratio([OURS, one], [VICTORIA_METRICS, one], 2.0),
        Figure::new(peak, &[usage.peak_mib], 1, Goal::AtMost(64.0)),
    ];
    Ok(Report {
        method: format!(
            "OTLP over {CONNECTIONS} connections, {rounds} rounds of {} s each; exports have three attributes at each point, and those of \
             1 000 points have {} series. metrics-host acknowledges what is on disk. VictoriaMetrics keeps history, which \
             metrics-host does not, acknowledges before it writes to disk, and takes in no JSON.",
            time.as_secs_f64(),
            METRICS * POINTS
        ),
        figures,
        tables: vec![rates, memory],
        notes,
    })
}

impl Export {
    /// Posts them, to another path than that of OTLP if the receiver has one of its own.
    async fn post(self, to: SocketAddr, path: Option<&str>, time: Duration) -> Result<Tally> {
        let bodies = (0..METRICS).map(|metric| {
            let name = format!("{}.{metric}", SUM[0]);
            let mut post = sums(self.encoding, &name, self.points);
            if let Some(path) = path {
                *post.uri_mut() = path.parse()?;
            }
            Ok(Planned::new(&post, ""))
        });
        let bodies = bodies.collect::<Result<Vec<_>>>()?;
        post(
            Load::new(to, in_turn(bodies)).connections(CONNECTIONS),
            time,
        )
        .await
    }
}

impl VictoriaMetrics {
    async fn start(setup: &Setup) -> Result<Self> {
        // Downloads what is missing.
        let programs = output(Command::new("tools/newer.sh").arg("victoria-metrics"))?;
        let address = port::free()?;
        let data = setup.directory()?;
        let mut command = Command::new(format!("{programs}/victoria-metrics"));
        command
            .arg(format!("-httpListenAddr={address}"))
            .arg(format!("-storageDataPath={}", data.path().display()))
            .arg("-loggerLevel=ERROR");
        let mut process = Process::start(command)?;
        let healthy = process.until(Wait::up_to(START), "health", async || {
            let status = http::get(address, "/health").await?.status;
            Ok(Seen::when(status == 200, status))
        });
        healthy.await?;
        Ok(Self {
            process,
            address,
            _data: data,
        })
    }
}

/// Checks that the page shows what was acknowledged.
async fn check(sidecar: &Host, acknowledged: [(&str, u64); 2]) -> Result<()> {
    let page = http::get(sidecar.metrics(), "/metrics").await?;
    let page = Exposition::parse(page.text())?;
    for (families, acknowledged) in acknowledged {
        let names = page.names().filter(|name| name.starts_with(families));
        let shown: f64 = names.map(|name| page.sum(name, &[])).sum();
        ensure!(
            shown == acknowledged as f64,
            "{acknowledged} data points were acknowledged and {families} is {shown}"
        );
    }
    Ok(())
}

/// Posts exports and batches of every kind, each for `time`.
///
/// # Errors
/// If one is not acknowledged in full.
pub async fn post_all(otlp: SocketAddr, time: Duration) -> Result<()> {
    for export in EXPORTS {
        export.post(otlp, None, time).await?;
    }
    for template in [thousand(), single()] {
        post_batches(otlp, &template, time).await?;
    }
    Ok(())
}

/// Posts numbered batches, those of an instance over one connection and one at a time.
pub async fn post_batches(otlp: SocketAddr, template: &Template, time: Duration) -> Result<Tally> {
    static SENDERS: AtomicU64 = AtomicU64::new(0);
    let loads = (0..CONNECTIONS).map(|_| {
        let mut batches = batches(Arc::clone(template), SENDERS.fetch_add(1, Relaxed));
        post(Load::new(otlp, move |index| (batches(index), "")), time)
    });
    let mut sum = Tally::default();
    for tally in try_join_all(loads).await? {
        sum.merge(tally);
    }
    Ok(sum)
}

/// Runs a load; every post has to be acknowledged in full, which OTLP says with an empty message.
async fn post(load: Load, time: Duration) -> Result<Tally> {
    let load = load
        .time(time)
        .check(|_, answer| answer.status == 200 && matches!(&*answer.body, b"" | b"{}"));
    let tally = load.run().await?.complete()?;
    let problem = &tally.problem;
    ensure!(tally.unexpected == 0, "not acknowledged: {problem:?}");
    Ok(tally)
}
