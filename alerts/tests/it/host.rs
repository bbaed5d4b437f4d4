//! A running metrics-host, as `make build` leaves it.

use crate::{http, rules::file};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Ends with the value.
pub(crate) struct Host {
    child: Child,
    addresses: Value,
    _state: TempDir,
}

impl Host {
    /// Starts `serve` of the items component on free ports.
    pub(crate) fn serve() -> Self {
        Self::start(&["serve", "--listen", "127.0.0.1:0"])
    }

    /// Starts `sidecar` on free ports.
    pub(crate) fn sidecar() -> Self {
        Self::start(&["sidecar"])
    }

    fn start(arguments: &[&str]) -> Self {
        let root = file("..");
        for needed in [
            "target/release/metrics-host",
            "target/wasm32-wasip2/component/items_component.wasm",
        ] {
            let exists = root.join(needed).exists();
            assert!(exists, "{needed} is not there: run `make build`");
        }
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(root.join("target/release/metrics-host"));
        for (name, _) in std::env::vars() {
            if name.starts_with("METRICS_HOST_") || name.starts_with("SPIN_VARIABLE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(arguments)
            .args([
                "--metrics-listen",
                "127.0.0.1:0",
                "--otlp-listen",
                "127.0.0.1:0",
            ])
            .arg("--state-dir")
            .arg(state.path())
            .current_dir(root)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let addresses = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!(
                    "metrics-host ended before it was ready:\n{}",
                    log.join("\n")
                );
            };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "ready" {
                break event;
            }
            log.push(line);
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            addresses,
            _state: state,
        }
    }

    /// Returns the page of `/metrics`.
    pub(crate) fn scrape(&self) -> String {
        let address = self.addresses["metrics"].as_str().unwrap();
        let (status, body) = http::send(address, "GET /metrics", "");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Posts JSON to the ingest and returns the status of the answer.
    pub(crate) fn post(&self, path: &str, body: &Value) -> u16 {
        let address = self.addresses["otlp"].as_str().unwrap();
        http::send(address, &format!("POST {path}"), &body.to_string()).0
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
