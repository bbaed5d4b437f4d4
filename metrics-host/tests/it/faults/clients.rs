//! Clients that do not wait for the answer, and handlers that take too long for it.
//!
//! Both ask for `/health/live`, which the load beside them does not: what a component makes of an answer that nobody
//! gets is told apart from the answers that were read.

use super::{Length, QUIET, assert_undisturbed, end, last_request, service};
use crate::{
    client::{empty, request},
    exposition::{Exposition, RequestCounts},
    stack::{Host, Launch},
    traffic::{Load, Planned, Tally, drive, mixed},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// The endpoint of the requests that get no answer.
const UNANSWERED: &str = "/health/live";
/// Flags of a service that handlers are too slow for.
const DEADLINE: [&str; 2] = ["--request-timeout", "1s"];
/// How many there are at one time.
const AT_ONCE: usize = 40;

/// Sends requests, and leaves when all are under way.
async fn leave(host: &Host) {
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
    Exposition::scrape_until(host.metrics(), "requests in flight", |scrape| {
        scrape.sum("metrics_host_requests_in_flight", &[]) == AT_ONCE as f64
    })
    .await;
}

fn slow(_: usize) -> Planned {
    let request = request(&format!("GET {UNANSWERED}")).header("x-fault", "delay=3s");
    (empty(request), UNANSWERED)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_before_the_answer_are_counted_once() {
    let length = Length::chosen();
    let sidecar = Launch::sidecar().start().await;
    let host = service(sidecar.otlp()).start().await;
    let (mut tally, mut left) = (Tally::default(), 0);
    for _ in 0..length.kills {
        leave(&host).await;
        left += AT_ONCE as u64;
        tally.add(drive(host.api(), 16, length.requests / 10, mixed).await);
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
    let host = Launch::serve().args(&QUIET).args(&DEADLINE).start().await;
    let load = Load::paced(host.api(), length.rate, mixed);
    let slow = drive(host.api(), AT_ONCE, length.requests / 40, slow).await;
    let mut tally = load.stop().await;
    assert_undisturbed(&tally);
    assert_eq!(slow.answers_with("504"), slow.sent);
    tally.add(slow);
    let edge = Exposition::scrape(host.metrics()).await;
    assert_eq!(
        Tally::by_method_and_status(&edge.requests()),
        Tally::by_method_and_status(&tally.read)
    );
    assert_eq!(edge.total(), tally.answers());
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_take_too_long_harm_no_other_count() {
    let length = Length::chosen();
    let sidecar = Launch::sidecar().start().await;
    let host = service(sidecar.otlp()).args(&DEADLINE).start().await;
    let load = Load::paced(host.api(), length.rate, mixed);
    let slow = drive(host.api(), AT_ONCE, length.requests / 40, slow).await;
    let tally = load.stop().await;
    assert_undisturbed(&tally);
    assert_eq!(slow.answers_with("504"), slow.sent);
    let unanswered = Unanswered {
        count: slow.sent,
        status: "504",
    };
    // What the host answered in its place, and whether it stopped the instance, a component does not know.
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

/// Requests without an answer of the component.
struct Unanswered {
    count: u64,
    /// How the edge counts them.
    status: &'static str,
}

/// Compares what was read of `tally`, and the `unanswered` beside it, with what the edge and the sidecar counted;
/// returns how many of the `unanswered` the sidecar did.
async fn compare(
    length: Length,
    what: &str,
    host: Host,
    sidecar: &Host,
    mut tally: Tally,
    unanswered: Unanswered,
) -> u64 {
    tally.add(last_request(host.api()).await);
    let read = Tally::by_method_and_status(&tally.read);
    let all = tally.answers() + unanswered.count;
    let edge = Exposition::scrape_until(host.metrics(), "the end of all", |scrape| {
        scrape.counted() >= all
    })
    .await;
    let mut expected = read.clone();
    let unanswered_at_edge = ("GET".into(), String::new(), unanswered.status.into());
    expected.insert(unanswered_at_edge, unanswered.count);
    assert_eq!(Tally::by_method_and_status(&edge.requests()), expected);

    Exposition::scrape_until(sidecar.metrics(), "the last batch", |scrape| {
        let (answered, _) = tell_apart(scrape);
        answered.values().sum::<u64>() >= tally.answers()
    })
    .await;
    end(host).await;
    let counted = Exposition::scrape(sidecar.metrics()).await;
    let (answered, others) = tell_apart(&counted);
    length.report(&format!(
        "{what}: {} answers, all counted, and {} without, of which the sidecar counted {others:?}",
        tally.answers(),
        unanswered.count
    ));
    assert_eq!(Tally::by_method_and_status(&answered), read);
    let others = others.values().sum();
    assert_eq!(counted.total(), tally.answers() + others);
    others
}

/// Tells the requests that were answered from those that were not.
fn tell_apart(scrape: &Exposition) -> (RequestCounts, RequestCounts) {
    let requests = scrape.requests().into_iter();
    requests.partition(|((_, endpoint, _), _)| endpoint != UNANSWERED)
}
