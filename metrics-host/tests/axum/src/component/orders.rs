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
    wasip3,
};
use std::convert::Infallible;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)";
const WRITE: &str = "INSERT OR REPLACE INTO orders (id) VALUES (?)";
const LIST: &str = "SELECT id FROM orders ORDER BY id DESC LIMIT 20";

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

/// Streams the latest orders, an event for each row. The statement is open until the client has read them all.
pub(super) async fn list() -> impl IntoResponse {
    let (mut events, body) = mpsc::channel::<Bytes>(0);
    wasip3::spawn(async move {
        let Ok(connection) = connection().await else {
            return;
        };
        let Ok(mut rows) = connection.execute(LIST, []).await else {
            return;
        };
        while let Some(row) = rows.next().await {
            let id: i64 = row.get(0).unwrap_or_default();
            // Fails if the client left.
            if events.send(format!("data: {id}\n\n").into()).await.is_err() {
                return;
            }
        }
    });
    let body = Body::from_stream(body.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream")], body)
}

async fn connection() -> Result<Connection, Error> {
    let connection = Connection::open_default().await?;
    connection.execute(CREATE, []).await?.result().await?;
    Ok(connection)
}
