//! A sender that invents labels: the number of series stays bounded, and no request it reports is lost.

use super::{Length, QUIET};
use crate::{
    client::{self, request, with_body},
    scrape::Scrape,
    stack::{self, Host},
};
use std::time::Duration;
use telemetry::{
    Observation, Resource, RouteCatalogue, Series,
    emitter::{Emitter, FrozenBatch},
};
use testkit::exposition::whole;

/// The limit of series that the sidecar is started with.
const MAX_SERIES: usize = 300;
/// Overflow series: one for each status class.
const CLASSES: usize = 5;
/// Batches, and the series in each; all series are different.
const BATCHES: usize = 20;
const SERIES: usize = 100;
/// Requests in each series.
const REQUESTS: usize = 3;

/// Returns the batch of one instance, with series that no other batch has.
fn invented(batch: usize) -> FrozenBatch {
    let resource = Resource {
        service_name: format!("invented-{batch}"),
        service_version: "1".into(),
        component: "inventor".into(),
        instance: format!("inventor-{batch}"),
    };
    let mut emitter = Emitter::new(resource, &RouteCatalogue::default(), 0);
    for series in 0..SERIES {
        let method = format!("METHOD{series}");
        let route = match series % 4 {
            0 => format!("/{batch}/{series}"),
            1 => format!("/{batch}/{series}/{}", "long".repeat(100)),
            2 => format!("/{batch}\n{series}"),
            _ => format!("\"}} {batch} {series}"),
        };
        let status = [200, 302, 404, 503][series % 4];
        for _ in 0..REQUESTS {
            emitter.record(Observation {
                series: Series::new(&method, &route, status, None),
                duration: Duration::from_millis(1),
            });
        }
    }
    emitter.freeze(1).cloned().unwrap()
}

async fn deliver(sidecar: &Host, batch: &FrozenBatch) -> u16 {
    let post = request("POST /v1/metrics")
        .header("content-type", "application/json")
        .header("idempotency-key", batch.key.to_string());
    let post = with_body(post, batch.body.clone());
    client::send(sidecar.otlp(), post).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_labels_are_counted_under_other() {
    let limited = || {
        let launch = stack::sidecar().args(&QUIET);
        launch.args(&["--max-series-per-metric", &MAX_SERIES.to_string()])
    };
    let sidecar = limited().start().await.unwrap();
    for batch in 0..BATCHES {
        assert_eq!(deliver(&sidecar, &invented(batch)).await, 200);
    }
    let all = (BATCHES * SERIES * REQUESTS) as u64;
    let counted = Scrape::of(sidecar.metrics()).await;
    assert_eq!(counted.total(), all);
    assert_closed(&counted);

    // Neither a restart nor a repeated batch makes room for more series.
    let state = sidecar.state.clone();
    sidecar.kill();
    let sidecar = limited().state(&state).start().await.unwrap();
    assert_eq!(deliver(&sidecar, &invented(0)).await, 200);
    assert_eq!(deliver(&sidecar, &invented(BATCHES)).await, 200);
    let counted = Scrape::of(sidecar.metrics()).await;
    assert_eq!(counted.total(), all + (SERIES * REQUESTS) as u64);
    assert_closed(&counted);
    Length::chosen().report(&format!(
        "{} invented series: {} requests, all counted, in {} series",
        (BATCHES + 1) * SERIES,
        counted.total(),
        counted.series("app_requests_total")
    ));
}

fn assert_closed(counted: &Scrape) {
    let series = counted.series("app_requests_total");
    // Each component, and `other`, has overflow series of its own.
    assert!(series <= MAX_SERIES + CLASSES * (BATCHES + 1), "{series}");
    let overflow = counted.sum("app_requests_total", &[("endpoint", "other")]);
    assert!(whole(overflow) > 0);
    assert_eq!(
        counted.sum("metrics_host_series_overflow_total", &[]),
        overflow
    );
    // Alerts on failures also see the requests that overflow.
    let failures = counted.sum("app_requests_total", &[("http_status", "503")])
        + counted.sum("app_requests_total", &[("http_status", "5xx")]);
    assert_eq!(failures, counted.counted() as f64 / 4.0);
    assert!(counted.series("app_build_info") <= 200);
}
