//! Connections whose protocol changed, such as WebSockets: bytes in both directions until both sides end.

use crate::connection::Connection;
use http::Response;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{io, sync::OwnedSemaphorePermit};

/// Connects the client with the application behind a `response` 101. The permit is held until the end.
pub(crate) fn open(
    client: OnUpgrade,
    response: &mut Response<Incoming>,
    connection: Connection,
    permit: OwnedSemaphorePermit,
) {
    let application = hyper::upgrade::on(response);
    tokio::spawn(async move {
        let _permit = permit;
        let ((), application, client) = tokio::join!(connection.finish(), application, client);
        let (Ok(application), Ok(client)) = (application, client) else {
            return;
        };
        let (mut application, mut client) = (TokioIo::new(application), TokioIo::new(client));
        if let Err(error) = io::copy_bidirectional(&mut application, &mut client).await {
            tracing::debug!(%error, "a connection with another protocol ended early");
        }
    });
}
