//! Orders in the component's database.

use axum::{
    body::{Body, Bytes},
    extract::Path,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use futures::{
    SinkExt, StreamExt,
    channel::{mpsc, oneshot},
};
use spin_sdk::{
    sqlite::{Connection, Error},
    wasip3::{self, clocks::monotonic_clock},
};
use std::{cell::OnceCell, convert::Infallible, rc::Rc};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)";
const WRITE: &str = "INSERT OR REPLACE INTO orders (id) VALUES (?)";
const LIST: &str = "SELECT id FROM orders ORDER BY id DESC LIMIT 20";

/// Pause between two events, in nanoseconds.
const PAUSE: u64 = 1_000_000;

thread_local! {
    static CONNECTION: OnceCell<Rc<Connection>> = const { OnceCell::new() };
}

/// Writes an order.
pub(super) async fn write(Path(id): Path<i64>) -> StatusCode {
    let (sender, written) = oneshot::channel();
    // Handlers of axum must be Send, and calls of the SDK are not.
    wasip3::spawn(async move {
        let written = async {
            let written = connection().await?.execute(WRITE, [id.into()]).await?;
            written.result().await
        };
        _ = sender.send(written.await.is_ok());
    });
    match written.await {
        Ok(true) => StatusCode::NO_CONTENT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Streams the latest orders, an event for each, with pauses.
pub(super) async fn list() -> impl IntoResponse {
    let (mut events, body) = mpsc::channel::<Bytes>(0);
    wasip3::spawn(async move {
        let listed = async { connection().await?.execute(LIST, []).await?.collect().await };
        for row in listed.await.unwrap_or_default() {
            let id: i64 = row.get(0).unwrap_or_default();
            // Fails if the client left.
            if events.send(format!("data: {id}\n\n").into()).await.is_err() {
                return;
            }
            monotonic_clock::wait_for(PAUSE).await;
        }
    });
    let body = Body::from_stream(body.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream")], body)
}

/// Returns the instance's connection. Concurrent first requests may each open one; the first is kept.
async fn connection() -> Result<Rc<Connection>, Error> {
    if let Some(open) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(open);
    }
    let opened = Connection::open_default().await?;
    opened.execute(CREATE, []).await?.result().await?;
    Ok(CONNECTION.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(opened)))))
}
