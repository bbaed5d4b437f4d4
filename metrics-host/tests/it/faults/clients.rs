//! Clients that leave before the answer, and handlers that miss their deadline.
//!
//! Both request `/health/live`, which the load beside them does not: so they can be told apart from answered requests.

use super::{Length, QUIET, assert_undisturbed, end, last_request, service};
use crate::{
    client::{empty, request},
    scrape::Scrape,
    stack::{self, Host},
    traffic::{Planned, Tally, drive, mixed, paced},
};
use testkit::counts::{Counts, Kind};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Endpoint of the requests without an answer.
const UNANSWERED: &str = "/health/live";
/// Flags of a service whose deadline the slow handlers miss.
const DEADLINE: [&str; 2] = ["--request-timeout", "1s"];
/// Requests without an answer at one time.
const AT_ONCE: usize = 40;

async fn in_flight(host: &Host, count: usize) {
    Scrape::until(host.metrics(), "requests in flight", |scrape| {
        scrape.sum("metrics_host_requests_in_flight", &[]) == count as f64
    })
    .await;
}

/// Sends requests, and closes their connections when all are inside the component.
async fn leave(host: &Host) {
    // The component works on a request whose client has left.
    in_flight(host, 0).await;
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        let mut client = TcpStream::connect(host.api()).await.unwrap();
        let request = format!(
            "GET {UNANSWERED} HTTP/1.1\r\nhost: {}\r\nx-fault: delay=2s\r\n\r\n",
            host.api()
        );
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    in_flight(host, AT_ONCE).await;
}

fn slow(_: usize) -> Planned {
    let request = request(&format!("GET {UNANSWERED}")).header("x-fault", "delay=3s");
    (empty(request), UNANSWERED)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_before_the_answer_are_counted_once() {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let (mut tally, mut left) = (Tally::default(), 0);
    for _ in 0..length.kills {
        leave(&host).await;
        left += AT_ONCE as u64;
        tally.merge(drive(host.api(), 16, length.requests / 10, mixed).await);
    }
    let unanswered = Unanswered {
        count: left,
        status: "499",
    };
    let by_sidecar = compare(length, "clients left", host, &sidecar, tally, unanswered).await;
    assert_eq!(by_sidecar, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_edge_handlers_that_take_too_long_are_counted_as_read() {
    let length = Length::chosen();
    let host = stack::serve()
        .args(&QUIET)
        .args(&DEADLINE)
        .start()
        .await
        .unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    let slow = drive(host.api(), AT_ONCE, length.requests / 40, slow).await;
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    assert_eq!(slow.counts.with_status("504"), slow.sent);
    tally.merge(slow);
    let edge = Scrape::of(host.metrics()).await;
    assert_eq!(
        edge.requests().by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    assert_eq!(edge.total(), tally.answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_take_too_long_harm_no_other_count() {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = service(sidecar.otlp())
        .args(&DEADLINE)
        .start()
        .await
        .unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    let slow = drive(host.api(), AT_ONCE, length.requests / 40, slow).await;
    let tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    assert_eq!(slow.counts.with_status("504"), slow.sent);
    let unanswered = Unanswered {
        count: slow.sent,
        status: "504",
    };
    // The component does not know what the host answered in its place, nor whether its instance was stopped.
    let by_sidecar = compare(
        length,
        "handlers too slow",
        host,
        &sidecar,
        tally,
        unanswered,
    )
    .await;
    assert!(by_sidecar <= slow.sent);
}

/// Requests that the component did not answer.
struct Unanswered {
    count: u64,
    /// Status under which the edge counts them.
    status: &'static str,
}

/// Compares the counts of the edge and of the sidecar with `tally` and the `unanswered` requests beside it; returns how
/// many of the `unanswered` requests the sidecar counted.
async fn compare(
    length: Length,
    what: &str,
    host: Host,
    sidecar: &Host,
    mut tally: Tally,
    unanswered: Unanswered,
) -> u64 {
    tally.merge(last_request(host.api()).await);
    let read = tally.counts.by_method_and_status();
    let all = tally.answers + unanswered.count;
    let edge = Scrape::until(host.metrics(), "the last request", |scrape| {
        scrape.counted() >= all
    })
    .await;
    let mut expected = read.clone();
    let unanswered_at_edge = Kind::new("GET", "", unanswered.status);
    expected.add(unanswered_at_edge, unanswered.count);
    assert_eq!(edge.requests().by_method_and_status(), expected);

    Scrape::until(sidecar.metrics(), "the last batch", |scrape| {
        let (answered, _) = split(scrape);
        answered.total() >= tally.answers
    })
    .await;
    end(host).await;
    let counted = Scrape::of(sidecar.metrics()).await;
    let (answered, others) = split(&counted);
    length.report(&format!(
        "{what}: {} answers, all counted, and {} without, of which the sidecar counted {}",
        tally.answers,
        unanswered.count,
        others.total()
    ));
    assert_eq!(answered.by_method_and_status(), read);
    let others = others.total();
    assert_eq!(counted.total(), tally.answers + others);
    others
}

/// Splits the counts into answered requests and the others.
fn split(scrape: &Scrape) -> (Counts, Counts) {
    let requests = scrape.requests();
    requests.partition(|kind| kind.endpoint != UNANSWERED)
}
