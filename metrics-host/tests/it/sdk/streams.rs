//! Streams that only their start times tell apart.

use super::{lost_replies_count_once, workers_add_up};

#[tokio::test]
async fn workers_with_one_resource_and_totals_add_up() {
    workers_add_up("cumulative").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_export_whose_reply_is_lost_counts_once() {
    lost_replies_count_once("delta").await;
}
