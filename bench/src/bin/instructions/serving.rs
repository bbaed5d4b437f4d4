//! Requests to `metrics-host serve` under callgrind: their whole way, from the bytes that it reads to those that it writes.

use crate::callgrind::{Callgrind, Counts};
use anyhow::Result;
use bench::workload::{CREATE, ROWS, Workload, in_turn};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    host::{Launch, built},
    http,
    load::Load,
};

/// The requests, and how many of each.
pub(crate) const REQUESTS: [(&str, Workload, u64); 3] = [
    ("serve-show", Workload::Show, 500),
    ("serve-list", Workload::List, 200),
    ("serve-create", Workload::Create, 200),
];

/// Time for an end; under callgrind everything takes fifty times as long.
const END: Duration = Duration::from_secs(60);

/// The server that is measured.
pub(crate) struct Server {
    binary: PathBuf,
    /// The state directory, with the compiled component and a page of items.
    state: Arc<TempDir>,
}

impl Server {
    /// Compiles the component and writes the items, which under callgrind would take minutes.
    ///
    /// # Errors
    /// If the server or its component is not built, or does not answer.
    pub(crate) async fn prepare() -> Result<Self> {
        let binary = built()?;
        let host = Self::launch(&binary)?.start().await?;
        for _ in 0..ROWS {
            http::send(host.api(), http::json("POST /items", CREATE)).await?;
        }
        let state = Arc::clone(&host.state);
        host.process.terminate(END).await?;
        Ok(Self { binary, state })
    }

    fn launch(binary: &Path) -> Result<Launch> {
        let launch = Launch::serve(binary)?;
        // Callgrind has room for the address space of few instances. On one thread a request takes one way.
        Ok(launch
            .args(&["--max-concurrent-requests", "1"])
            .env("TOKIO_WORKER_THREADS", "1"))
    }

    /// Counts what `times` requests take, one after the other over one connection, with the start and the end of the server.
    pub(crate) async fn serve(&self, workload: Workload, times: u64) -> Result<Counts> {
        let results = tempfile::tempdir()?;
        let callgrind = Callgrind::new(results.path());
        let args = callgrind.args();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let launch = Self::launch(&self.binary)?.state(&self.state);
        let host = launch.by(Callgrind::PROGRAM, &args).start().await?;
        let load =
            Load::new(host.api(), in_turn(workload.requests())).count(usize::try_from(times)?);
        load.run().await?.complete()?;
        host.process.terminate(END).await?;
        callgrind.counts()
    }
}
