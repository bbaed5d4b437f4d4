//! Wall clocks of the service and of the sidecar that jump while both are working.

use super::{Length, assert_undisturbed, preload::Preload, service, settle, sidecar_at};
use crate::{
    scrape::Scrape,
    stack::{Launch, free_address},
    traffic::{mixed, paced},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

const DAY: i64 = 24 * 60 * 60;
const YEAR: i64 = 365 * DAY;
/// Offsets of the clocks of the service and of the sidecar, in seconds: ahead, behind, in the seventies, beyond 2106,
/// and correct again.
const JUMPS: [(i64, i64); 6] = [
    (3600, 0),
    (3600, -DAY),
    (5 * YEAR, 5 * YEAR),
    (-50 * YEAR, 90 * YEAR),
    (90 * YEAR, -50 * YEAR),
    (0, 0),
];
/// Tolerance for a timestamp, in seconds.
const TOLERANCE: f64 = 60.0;

/// A wall clock that can be set for single processes.
struct WallClock(Preload);

impl WallClock {
    fn new() -> Self {
        let clock = Self(Preload::compile("wall_clock.c"));
        clock.jump(0);
        clock
    }

    fn shift(&self) -> PathBuf {
        self.0.directory.path().join("shift")
    }

    /// Sets its offset in seconds.
    fn jump(&self, seconds: i64) {
        let next = self.0.directory.path().join("next");
        fs::write(&next, seconds.to_string()).unwrap();
        // A rename is atomic: no process reads half of the file.
        fs::rename(next, self.shift()).unwrap();
    }

    fn given_to(&self, launch: Launch) -> Launch {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        launch
            .env("LD_PRELOAD", &text(&self.0.path()))
            .env("WALL_CLOCK_SHIFT", &text(&self.shift()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_change_no_count() {
    let length = Length::chosen();
    let (here, there) = (WallClock::new(), WallClock::new());
    let sidecar_at = |address| there.given_to(sidecar_at(address));
    let mut sidecar = sidecar_at(free_address()).start().await.unwrap();
    let host = here
        .given_to(service(sidecar.otlp()))
        .start()
        .await
        .unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    for (service_offset, sidecar_offset) in JUMPS {
        here.jump(service_offset);
        there.jump(sidecar_offset);
        load.answered(u64::from(length.rate / 2)).await.unwrap();
        let shown = Scrape::until(sidecar.metrics(), "the jump", |scrape| {
            let last = scrape.sum("metrics_host_ingest_last_batch_timestamp_seconds", &[]);
            (last - seconds_now(sidecar_offset)).abs() < TOLERANCE
        })
        .await;
        // The sidecar also restarts while its clock is wrong.
        let (address, state) = (sidecar.otlp(), sidecar.state.clone());
        sidecar.kill();
        sidecar = sidecar_at(address).state(&state).start().await.unwrap();
        let after = Scrape::of(sidecar.metrics()).await;
        after.requests().since(&shown.requests()).unwrap();
    }
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "wall clocks that jumped {} times, by up to 140 years: {} answers, all counted",
        JUMPS.len(),
        tally.answers
    ));
}

/// Returns the time on a clock with this offset, in seconds since 1970.
fn seconds_now(offset: i64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64() + offset as f64
}
