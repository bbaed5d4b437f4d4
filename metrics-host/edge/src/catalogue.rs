//! The route catalogue: the one request that the host itself sends, so that series exist at 0 before the first request.

use crate::{RequestBody, Upstream};
use edge_counts::EdgeCounts;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use std::{error::Error, sync::Arc, time::Duration};
use telemetry::{Route, RouteCatalogue, attribute, inline};
use tokio::sync::Semaphore;

/// Longest catalogue, in bytes.
const MAX_CATALOGUE: usize = 256 << 10;
/// Statuses with which the host may answer in the component's place.
const HOST_STATUSES: [u16; 4] = [499, 500, 503, 504];

/// Makes every series that is known beforehand exist at 0: those of the routes that the targets list, or else of the
/// targets' own routes. Only an application that counts inline is asked.
pub(crate) async fn declare_series<U: Upstream>(
    upstream: &U,
    counts: &EdgeCounts,
    timeout: Duration,
) {
    for target in upstream.targets() {
        let listed = match upstream.is_inline() {
            true => routes(upstream, target, timeout).await,
            false => None,
        };
        let own_route = || Route {
            method: "GET".into(),
            route: upstream.route(target).to_owned(),
            status: 200,
        };
        let catalogue = RouteCatalogue {
            routes: listed.unwrap_or_else(|| vec![own_route()]),
        };
        for series in catalogue.series() {
            counts.declare(series.method, &series.route, series.status);
        }
    }
    for method in ["GET", "POST"] {
        for status in HOST_STATUSES {
            counts.declare(method, attribute::UNREPORTED, status);
        }
    }
}

/// Returns the routes that `target` lists; `None` if it does not.
async fn routes<U: Upstream>(
    upstream: &U,
    target: &U::Target,
    timeout: Duration,
) -> Option<Vec<Route>> {
    match tokio::time::timeout(timeout, ask(upstream, target)).await {
        Ok(Ok(catalogue)) => return catalogue.map(|catalogue| catalogue.routes),
        Ok(Err(error)) => tracing::warn!(error, "the component failed to list its routes"),
        Err(_) => tracing::warn!("the component did not list its routes within {timeout:?}"),
    }
    None
}

async fn ask<U: Upstream>(
    upstream: &U,
    target: &U::Target,
) -> Result<Option<RouteCatalogue>, Box<dyn Error + Send + Sync>> {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned()?;
    let request = request(upstream.route(target))?;
    let response = upstream.respond(target, request, permit).await.response?;
    let says_so = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type == RouteCatalogue::CONTENT_TYPE);
    if response.status() != StatusCode::OK || !says_so {
        return Ok(None);
    }
    let body = Limited::new(response.into_body(), MAX_CATALOGUE)
        .collect()
        .await?;
    Ok(Some(RouteCatalogue::from_json(&body.to_bytes())?))
}

fn request(route: &str) -> http::Result<Request<RequestBody>> {
    let base = route.strip_suffix("/...").unwrap_or_default();
    let path = format!("{base}{}", inline::DESCRIBE_PATH);
    Request::get(format!("http://localhost{path}"))
        .header(inline::DESCRIBE_HEADER, "routes")
        .body(RequestBody::empty())
}
