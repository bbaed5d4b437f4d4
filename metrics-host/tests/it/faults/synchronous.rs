//! A component of WASI 0.2 that traps in one request in twenty, also in the middle of a body, while clients leave.

use super::{Length, QUIET};
use crate::{
    client::{empty, request, with_body},
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    traffic::{Planned, drive},
};
use futures::future::join_all;
use testkit::counts::Kind;

/// Clients that leave at one time.
const AT_ONCE: usize = 20;

/// Returns request `index` of a mix of bodies, with a trap in one of twenty: half of them after the head.
fn mixed_with_traps(index: usize) -> Planned {
    let request = match index % 40 {
        7 => empty(request("GET /sync/trap?10")),
        27 => empty(request("GET /sync/trap?100000")),
        0..3 => empty(request("GET /sync/events?1")),
        3..5 => empty(request("GET /sync/parts?30")),
        5..7 => empty(request("GET /sync/long?300000")),
        8..10 => empty(request("HEAD /sync/long?10")),
        10..14 => with_body(request("POST /sync/echo"), "a body".repeat(index % 3000)),
        14..16 => empty(request("DELETE /sync/status?404")),
        16 => empty(request("GET /sync/error")),
        17 => empty(request("GET /sync/never")),
        18..20 => empty(request("GET /sync/after?2")),
        20 => empty(request("GET /sync/leaked?100000")),
        _ => empty(request("GET /sync/instance")),
    };
    (request, "/sync/...")
}

/// Sends requests whose clients leave: half of them before the head, half of them in the middle of the body.
async fn leave(host: &Host) {
    let clients = (0..AT_ONCE).map(async |client| match client % 2 {
        0 => {
            Raw::send(
                host.api(),
                "PUT /sync/late?2000 HTTP/1.1\r\nhost: a\r\n\r\n",
            )
            .await;
        }
        _ => {
            let mut client = Raw::request(host.api(), "PATCH /sync/endless?10").await;
            client.read_until("data: 1\n\n").await;
        }
    });
    join_all(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_wasi_0_2_is_counted_as_its_clients_saw_it() {
    let length = Length::chosen();
    let host = stack::serve_misbehaving()
        .args(&QUIET)
        .start()
        .await
        .unwrap();
    let load = drive(host.api(), 64, length.requests, mixed_with_traps);
    let leaving = async {
        for _ in 0..length.kills {
            leave(&host).await;
        }
    };
    let (tally, ()) = tokio::join!(load, leaving);
    let left = (length.kills * AT_ONCE / 2) as u64;
    let all = tally.sent + 2 * left;
    let scrape = Scrape::until(host.metrics(), "all requests", |scrape| {
        scrape.counted() >= all && scrape.sum("metrics_host_requests_in_flight", &[]) == 0.0
    })
    .await;
    let mut seen = tally.begun();
    seen.add(Kind::new("PUT", "/sync/...", "499"), left);
    seen.add(Kind::new("PATCH", "/sync/...", "200"), left);
    assert_eq!(scrape.requests(), seen, "{:?}", tally.problem);
    assert_eq!(scrape.total(), all);
    // A trap takes only its own request, since no other is in its instance.
    let traps = scrape.sum("app_component_failures_total", &[("reason", "trap")]);
    assert_eq!(traps, (length.requests / 20) as f64);
    assert_eq!(scrape.sum("app_component_failures_total", &[]), traps);
    // On a busy machine, a short body may begin to stream before the trap.
    assert!(tally.cut.total() >= length.requests as u64 / 40);
    length.report(&format!(
        "WASI 0.2: {all} requests, {traps} traps, {} of them cut a body, {} clients left, all counted",
        tally.cut.total(),
        2 * left
    ));
}
