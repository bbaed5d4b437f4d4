//! Instances that end after a request or a few.

use super::{Length, assert_undisturbed, service, settle};
use crate::{
    stack::Launch,
    traffic::{Load, mixed},
};

async fn count_with_reuse(requests_per_instance: &str) {
    let length = Length::chosen();
    let sidecar = Launch::sidecar().start().await;
    let host = service(sidecar.otlp())
        .env("METRICS_HOST_INSTANCE_REUSE", requests_per_instance)
        .start()
        .await;
    // Each instance is made anew, and holds its place until it has delivered.
    let load = Load::paced(host.api(), length.rate / 3, mixed);
    load.answered(length.requests as u64 / 4).await;
    let mut tally = load.stop().await;
    assert_undisturbed(&tally);
    let counted = settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "instances of {requests_per_instance} requests: {} answers, all counted, in {} batches",
        tally.answers(),
        counted.sum("metrics_host_ingest_batches_total", &[])
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_one_request_delivers_it() {
    count_with_reuse("1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_three_requests_delivers_them() {
    count_with_reuse("3").await;
}
