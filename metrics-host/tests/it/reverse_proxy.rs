//! `metrics-host proxy` between a client and an application that both send and read bytes.

mod bodies;
mod command;
mod connections;
mod heads;
mod http2;
mod interim;
mod upgrades;

use crate::{
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
};
use std::time::{Duration, Instant};
use testkit::{counts::Counts, host::Launch};
use tokio::{net::TcpListener, time::timeout};

/// Longest wait for a connection.
const WAIT: Duration = Duration::from_secs(20);
/// Longest median of answers that no delayed acknowledgement holds up.
const PROMPT: Duration = Duration::from_millis(25);
/// A request without surprises.
const GET: &str = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
/// A response without surprises.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An application whose connections are those of the test.
struct Application {
    listener: TcpListener,
}

impl Application {
    /// Starts the application and a proxy before it, which has asked for the application's routes.
    async fn proxied() -> (Self, Host) {
        Self::behind(|launch| launch).await
    }

    /// The same, with a launch that is changed.
    async fn behind(change: impl FnOnce(Launch) -> Launch) -> (Self, Host) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let application = Self { listener };
        let host = change(stack::proxy(address)).start().await.unwrap();
        let mut question = application.accept().await;
        let (head, _) = question.read_until("\r\n\r\n").await;
        assert!(
            head.starts_with("GET /.well-known/telemetry-vocabulary HTTP/1.1\r\n"),
            "{head}"
        );
        question
            .write("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .await;
        question.read().await;
        (application, host)
    }

    /// Waits for the next connection.
    async fn accept(&self) -> Raw {
        let accepted = timeout(WAIT, self.listener.accept()).await;
        Raw(accepted.unwrap().unwrap().0)
    }

    /// Waits for a request without a body on a new connection, and returns its head.
    async fn request(&self) -> (Raw, String) {
        let mut connection = self.accept().await;
        let (head, _) = connection.read_until("\r\n\r\n").await;
        (connection, head)
    }

    /// Sends a request without a body, and returns the client and the new connection that it reached.
    async fn asked(&self, host: &Host, request: impl AsRef<[u8]>) -> (Raw, Raw) {
        let client = Raw::send(host.api(), request).await;
        let (connection, _) = self.request().await;
        (client, connection)
    }

    /// Returns whether no connection arrives for a while.
    async fn is_quiet(&self) -> bool {
        let while_ = Duration::from_millis(300);
        timeout(while_, self.listener.accept()).await.is_err()
    }
}

/// Has the application answer each of many questions in two writes, and returns the median time until the client has
/// the answer. The application does not set `TCP_NODELAY`, so its second write waits for the acknowledgement of the
/// first. Linux delays one by 40 ms.
async fn time_of_two_writes(
    client: &mut Raw,
    connection: &mut Raw,
    question: &str,
    [first, second]: [&str; 2],
) -> Duration {
    let end = &question[question.len() - 4..];
    let mut times = Vec::new();
    for _ in 0..30 {
        let start = Instant::now();
        client.write(question).await;
        connection.read_until(end).await;
        connection.write(first).await;
        connection.write(second).await;
        client.read_until(second).await;
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// Sends a request, lets the application answer with `response`, and returns what the client and the application read.
/// Both connections end.
async fn exchange(request: &str, response: &str) -> (String, String) {
    let (application, host) = Application::proxied().await;
    let mut client = Raw::send(host.api(), request).await;
    let (mut connection, head) = application.request().await;
    connection.write(response).await;
    drop(connection);
    client.end_sending().await;
    (client.read().await, head)
}

/// Returns the lines of a head without those that differ from run to run.
fn lines(head: &str) -> Vec<&str> {
    let (head, _) = head.split_once("\r\n\r\n").unwrap();
    head.split("\r\n")
        .filter(|line| !line.starts_with("date: "))
        .collect()
}

/// Waits until exactly these requests are counted, of the application `shop`.
async fn counted<const N: usize>(
    host: &Host,
    expected: [(&'static str, &'static str, &'static str, u64); N],
) {
    let expected = Counts::from(expected);
    let total = expected.total();
    Scrape::until(host.metrics(), "the requests", |scrape| {
        scrape.counted() >= total
    })
    .await;
    assert_eq!(Scrape::of(host.metrics()).await.requests(), expected);
}

async fn failures(host: &Host, reason: &str) -> f64 {
    let scrape = Scrape::of(host.metrics()).await;
    scrape.sum(
        "app_component_failures_total",
        &[
            ("reason", reason),
            ("application", "shop"),
            ("component", "shop"),
        ],
    )
}
