//! Trains profile-guided optimisation: sends mixed traffic to the programs beside this one, which count what they execute, and ends
//! them so that they write it down. `tools/dist.sh` builds and runs it.

use anyhow::Result;
use bench::{
    contender::{EMBEDDED, Kind, NATIVE, OFF, OTLP, Roster, SERVE_PROXY, STORELESS},
    ingest, scrape,
    setup::{END, Setup},
    workload::{CREATE, Workload, in_turn},
};
use std::time::{Duration, Instant};
use testkit::{
    host::Launch,
    http,
    load::{Load, Planned},
    root,
};

/// Buffered HTTP with each kind of telemetry, `wasi:http`, the proxy; and the native server, which gets the same training.
const KINDS: [Kind; 6] = [EMBEDDED, OFF, OTLP, STORELESS, SERVE_PROXY, NATIVE];
const CONNECTIONS: [usize; 2] = [1, 32];
/// Components that know nothing of metrics-host, for WASI 0.3 and, below `/sync`, 0.2.
const OTHERS: &str = "metrics-host/tests/misbehaving/spin.toml";
/// Duration of each kind of traffic.
const TIME: Duration = Duration::from_secs(1);
/// Duration of the scrapes beside posts of every kind.
const SCRAPED: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let setup = Setup::new(None, None)?;
    // The first start of a component compiles it.
    EMBEDDED
        .start(&setup, &setup.scratch()?)
        .await?
        .end()
        .await?;
    let roster = Roster::start(&setup, &KINDS).await?;
    let count = |_, _, _, _| ();
    roster
        .saturate(1, TIME, &CONNECTIONS, &Workload::ALL, count)
        .await?;
    for contender in roster.contenders {
        contender.end().await?;
    }
    send_to_others(&setup).await?;
    let sidecar = setup.sidecar().await?;
    tokio::try_join!(
        ingest::post_all(sidecar.otlp(), TIME),
        scrape::every_second(sidecar.metrics(), Instant::now() + SCRAPED),
    )?;
    sidecar.process.terminate(END).await
}

/// Sends components of others requests with and without a body, and such that they answer with an error.
async fn send_to_others(setup: &Setup) -> Result<()> {
    let binary = setup.binaries.join("metrics-host");
    let launch = Launch::serve(&binary)?.manifest(&root().join(OTHERS));
    let host = launch.start().await?;
    let get = |target| http::empty(http::request(&format!("GET {target}")));
    let requests = [
        get("/request"),
        http::json("POST /echo", CREATE),
        get("/status?404"),
        get("/error"),
        get("/sync/instance"),
        http::json("POST /sync/echo", CREATE),
        get("/sync/status?404"),
        get("/sync/error"),
    ];
    let requests = requests.map(|request| Planned::new(&request, ""));
    let plan = in_turn(requests.into());
    for connections in CONNECTIONS {
        let load = Load::new(host.api(), plan.clone()).connections(connections);
        load.time(TIME).run().await?.complete()?;
    }
    host.process.terminate(END).await
}
