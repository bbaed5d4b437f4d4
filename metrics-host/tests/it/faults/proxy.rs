//! A proxy that is killed in front of an application, and the other way round.

use super::{Length, QUIET};
use crate::{
    scrape::Scrape,
    spin::Spin,
    stack::{self, Host, workspace},
    traffic::{Tally, mixed, paced},
};
use testkit::host::Launch;

/// The items service under a real Spin, behind a proxy.
fn spin_up() -> Launch {
    let launch = stack::proxied();
    let manifest = workspace("spin.toml");
    let state = launch.state_dir().with_file_name("spin");
    let logs = state.join("logs");
    let [manifest, state, logs] = [&manifest, &state, &logs].map(|path| path.to_str().unwrap());
    launch
        .args(&QUIET)
        .env("SPIN_VARIABLE_FAULT_INJECTION", "on")
        .application(&[
            "spin",
            "up",
            "--quiet",
            "--from",
            manifest,
            "--state-dir",
            state,
            "--log-dir",
            logs,
        ])
}

/// Checks that the proxy counted every request once, under the status that its client saw. An answer that the
/// application cut counts under the status of its head, and as a failure.
pub(super) async fn compare(host: &Host, tally: &Tally) {
    let scrape = Scrape::until(host.metrics(), "all requests", |scrape| {
        scrape.counted() >= tally.sent
    })
    .await;
    let seen = tally.begun().by_method_and_status();
    assert_eq!(
        scrape.requests().by_method_and_status(),
        seen,
        "{:?}",
        tally.problem
    );
    assert_eq!(scrape.total(), tally.sent);
    let cut = scrape.sum("app_component_failures_total", &[("reason", "truncation")]);
    assert_eq!(cut, tally.cut.total() as f64, "{:?}", tally.problem);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_a_proxy_that_is_killed_keeps_what_it_counted() {
    let Some(version) = Spin::version("the proxy killed in front of Spin") else {
        return;
    };
    let length = Length::chosen();
    let mut all = Tally::default();
    let mut state = None;
    for _ in 0..length.kills {
        let mut launch = spin_up();
        if let Some(state) = &state {
            launch = launch.state(state);
        }
        let host = launch.start().await.unwrap();
        state = Some(host.state.clone());
        let load = paced(host.api(), length.rate, mixed).await;
        load.answered(u64::from(length.rate)).await.unwrap();
        host.kill();
        all.merge(load.finish().await.unwrap());
    }
    let host = spin_up().state(&state.unwrap()).start().await.unwrap();
    let counted = Scrape::of(host.metrics()).await.total();
    let (read, sent) = (all.answers, all.sent);
    assert!(
        read <= counted && counted <= sent,
        "read {read}, counted {counted}, sent {sent}"
    );
    length.report(&format!(
        "spin {version} behind the proxy, which is killed {} times: read {read} ≤ counted {counted} ≤ sent {sent}",
        length.kills
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_killed_is_counted_as_clients_saw_it() {
    let length = Length::chosen();
    let application = |address: &str| {
        stack::serve()
            .args(&QUIET)
            .args(&["--listen", address])
            .env("SPIN_VARIABLE_TELEMETRY", "inline")
    };
    let address = stack::free_address().to_string();
    let proxy = stack::proxy(address.parse().unwrap())
        .args(&QUIET)
        .start()
        .await
        .unwrap();
    let load = paced(proxy.api(), length.rate, mixed).await;
    for _ in 0..length.kills {
        let hosted = application(&address).start().await.unwrap();
        load.answered(u64::from(length.rate)).await.unwrap();
        hosted.kill();
        load.answered(u64::from(length.rate / 4)).await.unwrap();
    }
    let tally = load.stop().await.unwrap();
    compare(&proxy, &tally).await;
    assert!(tally.counts.with_status("502") > 0 && tally.counts.with_status("200") > 0);
    length.report(&format!(
        "behind the proxy, an application killed {} times: {} requests, {} answered 502, all counted",
        length.kills,
        tally.sent,
        tally.counts.with_status("502")
    ));
}
