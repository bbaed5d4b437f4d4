//! A running Alertmanager.

use serde_json::Value;
use std::{fs, process::Command, time::Duration};
use tempfile::TempDir;
use testkit::{http, process::Process};

/// Time for a start.
const START: Duration = Duration::from_secs(60);

/// An Alertmanager on a free port, with a folder of its own. It is killed when dropped.
pub(crate) struct Alertmanager {
    process: Process,
    address: String,
    _folder: TempDir,
}

impl Alertmanager {
    /// Starts one with `configuration`.
    pub(crate) async fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("alertmanager.yml"), configuration).unwrap();
        let mut command = Command::new("prometheus-alertmanager");
        command
            .args(["--config.file=alertmanager.yml", "--storage.path=data"])
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ])
            .current_dir(folder.path());
        let process = Process::start(command)
            .unwrap_or_else(|error| panic!("{error:#}: run `make setup-test`"));
        let listening = process.line("the address of Alertmanager", START, |line| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            Some(address.to_owned())
        });
        let address = listening.await.unwrap();
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// Hands it alerts, as Prometheus does.
    pub(crate) async fn post(&self, alerts: &Value) {
        let post = http::json("POST /api/v2/alerts", alerts.to_string());
        let reply = http::send(&self.address, post).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}\n{}", self.process.log());
    }

    /// Reads an answer of its API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = http::get(&self.address, path).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}\n{}", self.process.log());
        serde_json::from_str(reply.text()).unwrap()
    }
}
