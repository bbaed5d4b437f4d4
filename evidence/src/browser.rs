//! Pictures of pages, by a headless Chromium.

use anyhow::{Context, Result, anyhow, ensure};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    child::Child,
    wait::{Seen, SystemClock, until},
};

/// How long a picture may take, on a machine that does much else.
const PICTURE: Duration = Duration::from_secs(120);
/// How long a page may go on loading, in its own time: that runs as fast as it can while nothing is loaded.
const LOADING: Duration = Duration::from_secs(10);

/// A browser that is installed.
#[derive(Clone, Copy, Debug)]
pub struct Browser(());

impl Browser {
    /// Finds it.
    ///
    /// # Errors
    /// If it is not there.
    pub fn find() -> Result<Self> {
        let mut version = Command::new("chromium");
        version.arg("--version").stdout(Stdio::null());
        let status = version.stderr(Stdio::null()).status().context(
            "chromium takes the pictures, and is not there: run `make setup-test`, or say --no-screenshots",
        )?;
        ensure!(status.success(), "chromium --version ended with {status}");
        Ok(Self(()))
    }

    /// Takes a picture of the page at `url`, which is `height` pixels high, into a PNG file.
    ///
    /// # Errors
    /// If the browser fails, or takes too long.
    pub async fn picture(&self, url: &str, height: u32, file: &Path) -> Result<()> {
        let profile = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let mut command = Command::new("chromium");
        command
            // What it leaves when it is killed goes with the profile.
            .env("TMPDIR", profile.path())
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-sync", "--hide-scrollbars"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ))
            .arg(format!("--virtual-time-budget={}", LOADING.as_millis()))
            .arg(format!("--window-size=1280,{height}"))
            .arg(format!("--screenshot={}", file.display()))
            .arg(url);
        let mut chromium = Child::start("chromium", command, profile.path())?;
        let what = format!("a picture of {url}");
        let ended = until(&SystemClock, &what, PICTURE, async || {
            let ended = chromium.ended()?;
            Ok(ended.map_or_else(|| Seen::NotYet("no end".into()), Seen::Yes))
        });
        // As text: what a browser misses says nothing about an alert.
        let status = ended
            .await
            .map_err(|missed| anyhow!("{missed}\n{}", chromium.log()))?;
        let taken = status.success() && fs::metadata(file).is_ok_and(|file| file.len() > 0);
        ensure!(taken, "no picture of {url}: {status}\n{}", chromium.log());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_picture_is_as_high_as_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.png");
        let browser = Browser::find().unwrap();
        let page = "data:text/html,<h1>loaded</h1>";
        browser.picture(page, 777, &file).await.unwrap();
        let png = fs::read(&file).unwrap();
        // Width and height stand in the first chunk.
        assert_eq!(png[..4], *b"\x89PNG");
        assert_eq!(png[16..24], [0, 0, 5, 0, 0, 0, 3, 9]);
    }
}
