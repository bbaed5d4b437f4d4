//! The one request that the host itself sends to a component: which routes do you have?

use super::pool::{Pool, Ticket};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};
use telemetry::{Route, RouteCatalogue, inline};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::handler::Request as GuestRequest;

/// Longest list of routes, in bytes.
const MAX_VOCABULARY: usize = 256 << 10;

/// Returns the routes that the component behind `instances`, which is triggered by `route`, lists; `None` if it
/// does not.
pub(super) async fn routes(
    instances: &Arc<Pool>,
    route: &str,
    timeout: Duration,
) -> Option<Vec<Route>> {
    match tokio::time::timeout(timeout, ask(instances, route)).await {
        Ok(Ok(vocabulary)) => return vocabulary.map(|vocabulary| vocabulary.routes),
        Ok(Err(error)) => tracing::warn!(
            error = format!("{error:#}"),
            "the component failed to list its routes"
        ),
        Err(_) => tracing::warn!("the component did not list its routes within {timeout:?}"),
    }
    None
}

async fn ask(instances: &Arc<Pool>, route: &str) -> wasmtime::Result<Option<RouteCatalogue>> {
    let ticket = Ticket {
        permit: Arc::new(Semaphore::new(1)).try_acquire_owned()?,
        taken_by: Arc::new(OnceLock::new()),
    };
    let response = instances.handle(ticket, request(route)?).await?;
    let says_so = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type == RouteCatalogue::CONTENT_TYPE);
    if response.status() != StatusCode::OK || !says_so {
        return Ok(None);
    }
    let body = Limited::new(response.into_body(), MAX_VOCABULARY)
        .collect()
        .await
        .map_err(|error| wasmtime::format_err!("cannot read the routes: {error}"))?;
    Ok(Some(RouteCatalogue::from_json(&body.to_bytes())?))
}

fn request(route: &str) -> wasmtime::Result<GuestRequest> {
    let base = route.strip_suffix("/...").unwrap_or_default();
    let path = format!("{base}{}", inline::DESCRIBE_PATH);
    let body = Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync();
    Ok(Request::get(format!("http://localhost{path}"))
        .header(inline::DESCRIBE_HEADER, "routes")
        .body(body)?)
}
