//! Screenshots of the pages that show an alert, by a headless Chromium.

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::NamedTempFile;
use testkit::process::Process;

use crate::{
    record::{Picture, Watch},
    system::{Monitor, System},
};

/// How long a screenshot may take on a busy machine.
const PICTURE: Duration = Duration::from_secs(120);
/// How long a page may go on loading, in virtual time, which does not wait for a slow machine.
const LOADING: Duration = Duration::from_secs(10);

/// Takes a screenshot, and nothing else.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --hide-scrollbars \
    --disable-background-networking --disable-component-update";

/// An installed browser.
#[derive(Clone, Copy, Debug)]
pub struct Browser(());

impl Browser {
    /// Finds it.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn find() -> Result<Self> {
        let mut version = Command::new("chromium");
        version.arg("--version").stdout(Stdio::null());
        let status = version.stderr(Stdio::null()).status().context(
            "screenshots need chromium: run `make setup-test`, or give --no-screenshots",
        )?;
        ensure!(status.success(), "chromium --version ended with {status}");
        Ok(Self(()))
    }

    /// Takes a screenshot of a page, as PNG; the page is `height` pixels high.
    ///
    /// # Errors
    /// If the browser fails, or takes too long.
    pub async fn picture(&self, url: &str, height: u32, file: &Path) -> Result<()> {
        let profile = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let data = profile.path().join("profile");
        let mut command = Command::new("chromium");
        command
            // A killed browser leaves files, which go with the profile.
            .env("TMPDIR", profile.path())
            .args(FLAGS.split_ascii_whitespace())
            .arg(format!("--user-data-dir={}", data.display()))
            .arg(format!("--virtual-time-budget={}", LOADING.as_millis()))
            .arg(format!("--window-size=1280,{height}"))
            .arg(format!("--screenshot={}", file.display()))
            .arg(url);
        let mut chromium = Process::start(command)?;
        let status = chromium.end(PICTURE).await;
        // As text: a failing browser says nothing about an alert.
        let status = status.map_err(|error| anyhow!("{error:#}"))?;
        let taken = status.success() && fs::metadata(file).is_ok_and(|file| file.len() > 0);
        ensure!(taken, "no picture of {url}: {status}\n{}", chromium.log());
        Ok(())
    }

    /// Takes a screenshot of each page that shows the alert `name`, or that none fires, into `folder`.
    ///
    /// # Errors
    /// If a page or the browser fails.
    pub async fn pictures(
        &self,
        system: &System,
        watches: &[Watch],
        name: Option<&str>,
        folder: &Path,
    ) -> Result<Vec<Picture>> {
        let when = match name {
            Some(name) => format!("while {name} fires"),
            None => "while no alert of the application fires".to_owned(),
        };
        let mut pictures = Vec::new();
        let status = format!("{}/", system.service.operations.url());
        let shows = format!("the service's status page {when}");
        self.take(&mut pictures, folder, "status.png", 2160, &status, shows)
            .await?;
        for (
            Monitor {
                prometheus,
                alertmanager,
                ..
            },
            watch,
        ) in system.monitors.iter().zip(watches)
        {
            let of = watch.folder();
            fs::create_dir_all(folder.join(&of))?;
            let url = prometheus.http().url();
            // Debian's 2.42 has the older pages only, and its 3.5 has none.
            for path in ["/alerts", "/classic/alerts"] {
                if prometheus.http().get(path).await?.status.is_success() {
                    let shows = format!(
                        "alerts of Prometheus {} (`{path}`) {when}",
                        watch.prometheus
                    );
                    let (file, url) = (format!("{of}/prometheus.png"), format!("{url}{path}"));
                    self.take(&mut pictures, folder, &file, 1570, &url, shows)
                        .await?;
                    break;
                }
            }
            let page = NamedTempFile::with_suffix(".html")?;
            let version = &watch.alertmanager;
            let mut url = format!("{}/#/alerts", alertmanager.http().url());
            let mut shows = format!("alerts of Alertmanager {version} {when}");
            if !alertmanager
                .http()
                .get("/script.js")
                .await?
                .status
                .is_success()
            {
                let answer = answer(version, &alertmanager.alerts(name).await?)?;
                fs::write(page.path(), answer)?;
                url = format!("file://{}", page.path().display());
                shows = format!(
                    "what the API of Alertmanager {version} answers (`/api/v2/alerts`) {when}; its package has no pages, so the \
                     runner set the answer on one"
                );
            }
            let file = format!("{of}/alertmanager.png");
            self.take(&mut pictures, folder, &file, 720, &url, shows)
                .await?;
        }
        Ok(pictures)
    }

    async fn take(
        &self,
        pictures: &mut Vec<Picture>,
        folder: &Path,
        file: &str,
        height: u32,
        url: &str,
        shows: String,
    ) -> Result<()> {
        self.picture(url, height, &folder.join(file)).await?;
        let file = file.to_owned();
        pictures.push(Picture { file, shows });
        Ok(())
    }
}

/// Returns a page with an answer of Alertmanager's API.
fn answer(version: &str, alerts: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(alerts)?;
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    Ok(format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Alertmanager</title>\
         <style>body {{ font: 16px sans-serif; margin: 2em }} pre {{ font-size: 14px; white-space: pre-wrap }}</style>\
         <h1>Alertmanager {version}: GET /api/v2/alerts</h1><pre>{text}</pre>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn a_picture_is_as_high_as_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.png");
        let browser = Browser::find().unwrap();
        let page = "data:text/html,<h1>loaded</h1>";
        browser.picture(page, 777, &file).await.unwrap();
        let png = fs::read(&file).unwrap();
        // Width and height are in the first chunk.
        assert_eq!(png[..4], *b"\x89PNG");
        assert_eq!(png[16..24], [0, 0, 5, 0, 0, 0, 3, 9]);
    }

    #[test]
    fn an_answer_is_escaped() {
        let page = answer("0.25", &json!([{"labels": {"a": "<b>&amp;"}}])).unwrap();
        assert!(page.contains(r#""a": "&lt;b>&amp;amp;""#), "{page}");
    }
}
