//! A running Alertmanager.

use crate::http;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// Ends with the value.
pub(crate) struct Alertmanager {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Alertmanager {
    /// Starts one on a free port with `configuration`, in a folder of its own.
    pub(crate) fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("alertmanager.yml"), configuration).unwrap();
        let mut child = Command::new("prometheus-alertmanager")
            .args(["--config.file=alertmanager.yml", "--storage.path=data"])
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ])
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus-alertmanager: {error}: run `make setup-test`")
            });
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("Alertmanager ended before it listened:\n{}", log.join("\n"));
            };
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                break address.to_owned();
            }
            log.push(line);
        };
        // What it says later belongs to the test's output.
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// Hands it alerts, as Prometheus does.
    pub(crate) fn post(&self, alerts: &Value) {
        let (status, body) = http::send(&self.address, "POST /api/v2/alerts", &alerts.to_string());
        assert_eq!(status, 200, "{body}");
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
