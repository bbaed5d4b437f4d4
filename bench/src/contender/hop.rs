//! Hops between the clients and an application.

use super::kind::{START, fill};
use crate::setup::{Setup, output};
use anyhow::{Context, Result, ensure};
use std::{fs, net::SocketAddr, path::Path, process::Command};
use testkit::{
    http, port,
    process::Process,
    root,
    wait::{Seen, Wait},
};

/// The gateway component, from the root of the repository.
const GATEWAY: &str = "target/wasm32-wasip2/component/metrics_gateway.wasm";
/// The manifest of the items service.
const MANIFEST: &str = "spin.toml";
/// Source paths in it; a copy elsewhere needs absolute ones.
const SOURCE: &str = "source = \"target/";

/// A hop between the clients and an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Clients speak to the application.
    None,
    /// `metrics-host proxy`, which counts.
    Proxy,
    /// nginx, which does not count.
    Nginx,
    /// HAProxy, which does not count.
    Haproxy,
    /// The gateway component, in the application's own manifest. It counts, and reports to a sidecar.
    Gateway,
}

impl Hop {
    /// Returns the manifest to serve.
    ///
    /// # Errors
    /// If the gateway is not built, or cannot be added.
    pub(super) fn manifest(self, setup: &Setup, scratch: &Path) -> Result<String> {
        if self != Self::Gateway {
            return Ok(MANIFEST.to_owned());
        }
        let gateway = root().join(GATEWAY);
        ensure!(gateway.exists(), "no {GATEWAY}");
        let absolute = format!("source = \"{}/target/", root().display());
        let text = fs::read_to_string(root().join(MANIFEST))?.replace(SOURCE, &absolute);
        let copy = scratch.join(MANIFEST);
        fs::write(&copy, text)?;
        output(
            Command::new(setup.binaries.join("metrics-host"))
                .args(["add", "--yes", "--gateway"])
                .args([&gateway, &copy]),
        )?;
        Ok(copy.to_string_lossy().into_owned())
    }

    /// Starts the program in front of the application at `upstream`, if there is one, and returns its address.
    ///
    /// # Errors
    /// If this machine lacks it, or it does not start.
    pub(super) async fn start(
        self,
        setup: &Setup,
        scratch: &Path,
        upstream: SocketAddr,
    ) -> Result<Option<(Process, SocketAddr)>> {
        let (command, config) = match self {
            Self::None | Self::Gateway => return Ok(None),
            Self::Proxy => (
                "{bin}/metrics-host proxy --upstream http://{upstream} --listen {api} --metrics-listen 127.0.0.1:0 \
                    --otlp-listen 127.0.0.1:0 --application items --log-level off --state-dir {state}/proxy",
                None,
            ),
            Self::Nginx => (
                "nginx -e {state}/nginx.log -c {state}/nginx.conf",
                Some(("nginx.conf", include_str!("../../nginx.conf"))),
            ),
            Self::Haproxy => (
                "haproxy -f {state}/haproxy.cfg",
                Some(("haproxy.cfg", include_str!("../../haproxy.cfg"))),
            ),
        };
        let address = port::free()?;
        let fill = |text: &str| {
            let text = text.replace("{upstream}", &upstream.to_string());
            fill(&text, setup, scratch, &address.to_string())
        };
        if let Some((name, text)) = config {
            fs::write(scratch.join(name), fill(text))?;
        }
        let mut words = command.split_whitespace().map(fill);
        let mut command = Command::new(words.next().context("a command names its program")?);
        command.args(words).current_dir(root());
        let mut process = Process::start(command)?;
        let wait = Wait::up_to(START);
        let answer = process.until(wait, "GET /", async || {
            let status = http::get(address, "/").await?.status;
            Ok(Seen::when(status == 200, status))
        });
        answer.await?;
        Ok(Some((process, address)))
    }
}
