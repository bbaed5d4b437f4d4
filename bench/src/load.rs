//! The load generator: clients that send the next request as soon as the last was acknowledged.

use crate::client::{Answer, Client};
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What one client sends, without end.
pub trait Source {
    /// Returns the next request; cheap, since it is measured.
    ///
    /// # Errors
    /// If it cannot be built.
    fn next(&mut self) -> Result<Request<Full<Bytes>>>;
}

impl Source for Box<dyn Source> {
    fn next(&mut self) -> Result<Request<Full<Bytes>>> {
        (**self).next()
    }
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests that were acknowledged, which is all that were sent.
    pub acknowledged: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Load {
    /// Returns the requests that were acknowledged in a second.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64()
    }
}

/// Returns the runtime of all clients: one thread, which leaves the other core to the server.
///
/// # Errors
/// If the system has no thread for it.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Sends what `sources` give for `time`, each over a connection of its own.
///
/// # Errors
/// If anything but an acknowledgement is answered.
pub async fn drive<S: Source>(
    address: SocketAddr,
    sources: &mut [S],
    time: Duration,
) -> Result<Load> {
    let clients = try_join_all(sources.iter().map(|_| Client::connect(address))).await?;
    let start = Instant::now();
    let clients = clients
        .into_iter()
        .zip(sources)
        .map(|(client, source)| send_until(start + time, client, source));
    let acknowledged = try_join_all(clients).await?.iter().sum();
    Ok(Load {
        acknowledged,
        elapsed: start.elapsed(),
    })
}

/// Sends one request of `source`; returns false if it is refused for what it is.
///
/// # Errors
/// If the server fails.
pub async fn is_taken<S: Source>(address: SocketAddr, source: &mut S) -> Result<bool> {
    let answer = Client::connect(address).await?.send(source.next()?).await?;
    if answer.status.is_client_error() {
        return Ok(false);
    }
    acknowledged(&answer)?;
    Ok(true)
}

async fn send_until<S: Source>(
    deadline: Instant,
    mut client: Client,
    source: &mut S,
) -> Result<u64> {
    let mut count = 0;
    while Instant::now() < deadline {
        acknowledged(&client.send(source.next()?).await?)?;
        count += 1;
    }
    Ok(count)
}

/// Checks that all of a request was taken: OTLP says so with an empty message.
fn acknowledged(answer: &Answer) -> Result<()> {
    ensure!(
        answer.status == StatusCode::OK && matches!(&answer.body[..], b"" | b"{}"),
        "not acknowledged: {} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}
