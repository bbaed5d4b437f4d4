//! A sidecar that is stopped or away while requests keep coming.

use super::{Length, assert_undisturbed, end, load_over_a_stop, service, settle, sidecar_at};
use crate::{
    scrape::Scrape,
    stack::{Host, free_address},
    traffic::{drive, mixed, paced},
};
use std::time::Duration;

/// Pause between two samples of a service's usage.
const PAUSE: Duration = Duration::from_millis(500);
/// The most instances at one time: an instance takes requests for a moment, and tries to deliver for a little more than
/// two seconds.
const MAX_INSTANCES: f64 = 64.0;
/// The most resident memory may grow from the first half of an outage to the second.
const MAX_GROWTH: f64 = 16.0 * 1024.0 * 1024.0;

/// Usage of a service at one moment.
#[derive(Clone, Copy, Debug)]
struct Usage {
    instances: f64,
    resident: f64,
}

impl Usage {
    async fn of(host: &Host) -> Self {
        let scrape = Scrape::of(host.metrics()).await;
        Self {
            instances: scrape.sum("metrics_host_instances", &[]),
            resident: scrape.sum("process_resident_memory_bytes", &[]),
        }
    }

    /// Samples usage again and again while `work` goes on.
    async fn during(host: &Host, work: impl Future<Output = ()>) -> Vec<Self> {
        let mut seen = Vec::new();
        let sample = async {
            loop {
                seen.push(Self::of(host).await);
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = sample => {}
            () = work => {}
        }
        seen
    }
}

fn most(seen: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    seen.iter().map(of).fold(0.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_stops_for_seconds_misses_nothing() {
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let mut tally = load_over_a_stop(length, &host, &sidecar, mixed).await;
    assert_undisturbed(&tally);
    let counted = settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "sidecar stopped for {} s: {} answers, all counted, {} batches arrived twice",
        length.stop,
        tally.answers,
        counted.sum("metrics_host_ingest_duplicate_batches_total", &[])
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_restarted_during_an_outage_loses_nothing() {
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let first = drive(host.api(), 8, length.requests / 8, mixed).await;
    let (address, at_sidecar) = (sidecar.otlp(), sidecar.state.clone());
    sidecar.kill();
    let mut tally = drive(host.api(), 8, length.requests / 8, mixed).await;
    tally.merge(first);
    let at_service = host.state.clone();
    end(host).await;
    let sidecar = sidecar_at(address)
        .state(&at_sidecar)
        .start()
        .await
        .unwrap();
    let host = service(address).state(&at_service).start().await.unwrap();
    settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "service restarted while the sidecar was away: {} answers, all counted",
        tally.answers
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_piles_up_neither_instances_nor_memory_and_loses_nothing() {
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    load.answered(u64::from(length.rate)).await.unwrap();

    let (address, state) = (sidecar.otlp(), sidecar.state.clone());
    sidecar.kill();
    let away = async {
        let requests = u64::from(length.rate * length.outage);
        load.answered(requests).await.unwrap();
    };
    let seen = Usage::during(&host, away).await;
    let sidecar = sidecar_at(address).state(&state).start().await.unwrap();
    load.answered(u64::from(length.rate)).await.unwrap();
    let mut tally = load.stop().await.unwrap();

    assert_undisturbed(&tally);
    let (first, second) = seen.split_at(seen.len() / 2);
    let instances = most(&seen, |usage| usage.instances);
    let resident = [first, second].map(|seen| most(seen, |usage| usage.resident));
    let counted = settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "sidecar away for {} s at {} requests/s: {} answers, all counted, {} batches arrived twice; at most {instances} \
         instances, {:.0} MiB resident in the first half and {:.0} MiB in the second",
        length.outage,
        length.rate,
        tally.answers,
        counted.sum("metrics_host_ingest_duplicate_batches_total", &[]),
        resident[0] / 1048576.0,
        resident[1] / 1048576.0,
    ));
    assert!(instances <= MAX_INSTANCES, "{seen:?}");
    assert!(resident[1] <= resident[0] + MAX_GROWTH, "{seen:?}");
}
