//! Clients that create, list and delete, so that the number of items stays as it is.

use anyhow::{Context, Result};
use bench::client::{Answer, Client, empty};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use serde_json::Value;
use std::{net::SocketAddr, ops::AddAssign, time::Instant};

/// What the clients were answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Answers that were read to their end.
    pub(crate) answers: u64,
    /// Those whose status was not what the request should get.
    pub(crate) unexpected: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.unexpected += other.unexpected;
    }
}

/// Sends mixed requests until `deadline`.
///
/// # Errors
/// If a connection ends.
pub(crate) async fn drive(api: SocketAddr, connections: usize, deadline: Instant) -> Result<Tally> {
    let clients = (0..connections).map(|number| async move {
        let tally = drive_one(api, deadline).await;
        tally.with_context(|| format!("client {number}"))
    });
    let mut sum = Tally::default();
    for tally in try_join_all(clients).await? {
        sum += tally;
    }
    Ok(sum)
}

async fn drive_one(api: SocketAddr, deadline: Instant) -> Result<Tally> {
    let mut client = Client::connect(api).await?;
    let mut tally = Tally::default();
    while Instant::now() < deadline {
        let created = expect(&mut client, create()?, StatusCode::CREATED, &mut tally).await?;
        for target in ["/", "/items?limit=20"] {
            let request = empty(Method::GET, target)?;
            expect(&mut client, request, StatusCode::OK, &mut tally).await?;
        }
        if let Some(id) = id(&created) {
            let request = empty(Method::DELETE, &format!("/items/{id}"))?;
            expect(&mut client, request, StatusCode::NO_CONTENT, &mut tally).await?;
        }
    }
    Ok(tally)
}

async fn expect(
    client: &mut Client,
    request: Request<Full<Bytes>>,
    status: StatusCode,
    tally: &mut Tally,
) -> Result<Answer> {
    let answer = client.send(request).await?;
    tally.answers += 1;
    tally.unexpected += u64::from(answer.status != status);
    Ok(answer)
}

fn create() -> Result<Request<Full<Bytes>>> {
    Ok(Request::post("/items")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from_static(br#"{"name":"soaked"}"#)))?)
}

/// Returns the id of the item that was created, if one was.
fn id(answer: &Answer) -> Option<i64> {
    serde_json::from_slice::<Value>(&answer.body).ok()?["id"].as_i64()
}
