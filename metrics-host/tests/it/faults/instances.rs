//! Instances that end after one or a few requests.

use super::{Length, assert_undisturbed, service, settle};
use crate::{
    stack,
    traffic::{mixed, paced},
};

async fn count_with_reuse(requests_per_instance: &str) {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = service(sidecar.otlp())
        .env("METRICS_HOST_INSTANCE_REUSE", requests_per_instance)
        .start()
        .await
        .unwrap();
    // Every instance is created anew, and holds its slot until it has delivered.
    let load = paced(host.api(), length.rate / 3, mixed).await;
    load.answered(length.requests as u64 / 4).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    let counted = settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "instances of {requests_per_instance} requests: {} answers, all counted, in {} batches",
        tally.answers,
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
