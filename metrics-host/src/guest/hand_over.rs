//! How a request comes to an instance, also where there are as many as there may be.

use super::workers::{Ticket, Workers};
use std::{sync::PoisonError, time::Duration};
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::handler::{InstantiationError, ProxyHandler, Request, Response};

/// How long a request waits before it looks again for an instance.
const PAUSE: Duration = Duration::from_millis(2);

/// Has an instance answer `request`. The handler starts one for every request that finds all others computing, so that
/// very many clients at once use up the room for instances: then it waits for one that is there already.
///
/// # Errors
/// As [`ProxyHandler::handle`]; for want of room it waits as long as it is let.
pub(super) async fn hand_over(
    handler: &ProxyHandler<Workers>,
    mut ticket: Ticket,
    mut request: Request,
) -> wasmtime::Result<Response> {
    loop {
        let error = match handler.handle(ticket, request).await {
            Err(error) if wants_room(&error) => error,
            result => return result,
        };
        let returned: InstantiationError<Ticket> = error.downcast()?;
        ticket = returned.request_data;
        request = returned
            .request
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(PAUSE).await;
    }
}

fn wants_room(error: &wasmtime::Error) -> bool {
    error
        .downcast_ref::<InstantiationError<Ticket>>()
        .is_some_and(|failed| failed.error.is::<PoolConcurrencyLimitError>())
}
