//! A wall clock that jumps, of the service and of the sidecar, while both are at work.

use super::{Length, assert_undisturbed, service, settle, sidecar_at};
use crate::{
    exposition::{Exposition, gain},
    stack::{Launch, free_address, workspace},
    traffic::{Load, mixed},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const DAY: i64 = 24 * 60 * 60;
const YEAR: i64 = 365 * DAY;
/// How many seconds the clocks of the service and of the sidecar are off, one after the other: ahead, behind, in
/// the seventies, beyond 2106, and right again.
const JUMPS: [(i64, i64); 6] = [
    (3600, 0),
    (3600, -DAY),
    (5 * YEAR, 5 * YEAR),
    (-50 * YEAR, 90 * YEAR),
    (90 * YEAR, -50 * YEAR),
    (0, 0),
];
/// Seconds by which what a clock shows may be late.
const LATE: f64 = 60.0;

/// A wall clock that processes can be given.
struct WallClock {
    directory: TempDir,
}

impl WallClock {
    fn new() -> Self {
        let clock = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let source = workspace("metrics-host/tests/it/faults/wall_clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&clock.library(), &source])
            .arg("-ldl")
            .status();
        // What links Rust programs is there wherever one was built.
        assert!(compiled.unwrap().success());
        clock.jump(0);
        clock
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("wall_clock.so")
    }

    fn shift(&self) -> PathBuf {
        self.directory.path().join("shift")
    }

    /// Sets how many seconds it is off.
    fn jump(&self, seconds: i64) {
        let next = self.directory.path().join("next");
        fs::write(&next, seconds.to_string()).unwrap();
        // At once: nobody reads half of it.
        fs::rename(next, self.shift()).unwrap();
    }

    fn given_to(&self, launch: Launch) -> Launch {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        launch
            .env("LD_PRELOAD", &text(&self.library()))
            .env("WALL_CLOCK_SHIFT", &text(&self.shift()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_change_no_count() {
    let length = Length::chosen();
    let (here, there) = (WallClock::new(), WallClock::new());
    let sidecar_at = |address| there.given_to(sidecar_at(address));
    let mut sidecar = sidecar_at(free_address()).start().await;
    let host = here.given_to(service(sidecar.otlp())).start().await;
    let load = Load::paced(host.api(), length.rate, mixed);
    for (service_off, sidecar_off) in JUMPS {
        here.jump(service_off);
        there.jump(sidecar_off);
        load.answered(u64::from(length.rate / 2)).await;
        let shown = Exposition::scrape_until(sidecar.metrics(), "the jump", |scrape| {
            let last = scrape.sum("metrics_host_ingest_last_batch_timestamp_seconds", &[]);
            (last - seconds_now(sidecar_off)).abs() < LATE
        })
        .await;
        // It may also start while its clock is wrong.
        let (address, state) = (sidecar.otlp(), sidecar.state.clone());
        sidecar.kill();
        sidecar = sidecar_at(address).state(&state).start().await;
        let after = Exposition::scrape(sidecar.metrics()).await;
        gain(&shown.requests(), &after.requests());
    }
    let mut tally = load.stop().await;
    assert_undisturbed(&tally);
    settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "wall clocks that jumped {} times, by up to 140 years: {} answers, all counted",
        JUMPS.len(),
        tally.answers()
    ));
}

/// Returns what a clock shows that is off, in seconds since 1970.
fn seconds_now(off: i64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64() + off as f64
}
