//! The route catalogue. The host requests it at start-up, so that series exist at 0 before the first client request.

use crate::{RequestBody, Upstream, examples::examples};
use edge_counts::{ComponentId, EdgeCounts};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use routes::Routes;
use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};
use telemetry::{Route, RouteCatalogue, attribute, inline, method};
use tokio::sync::Semaphore;

/// Longest catalogue, in bytes.
const MAX_CATALOGUE: usize = 256 << 10;
/// Pause before an application that gave no answer is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// Statuses of requests that a component did not answer.
const HOST_STATUSES: [u16; 5] = [499, 500, 502, 503, 504];
/// Methods and statuses of requests that have no component.
const UNROUTED: [(&str, u16); 6] = [
    ("GET", 400),
    ("GET", 404),
    ("POST", 400),
    ("POST", 404),
    (method::OTHER, 400),
    (method::OTHER, 431),
];
/// Methods whose series exist from the start, also for applications that list no routes.
const METHODS: [&str; 2] = ["GET", "POST"];

/// Creates every series known in advance, at 0: one per route that a target or `routes` lists, and those of the targets'
/// own routes. Only applications that count inline are asked. `components` are those of the targets; `no_component` has
/// the requests that reach none. Returns example paths.
pub(crate) async fn declare_series<U: Upstream>(
    upstream: &U,
    counts: &EdgeCounts,
    routes: &Routes,
    components: &HashMap<String, ComponentId>,
    no_component: ComponentId,
    timeout: Duration,
) -> Vec<String> {
    let mut known = routes.catalogue().routes.clone();
    for target in upstream.targets() {
        let listed = match upstream.is_inline() {
            true => listed_routes(upstream, target, timeout).await,
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
        let component = components[upstream.component(target)];
        declare_catalogue(counts, component, &catalogue);
        known.extend(catalogue.routes);
        for method in METHODS {
            for status in HOST_STATUSES {
                counts.declare(component, method, upstream.route(target), status);
            }
        }
    }
    for (method, status) in UNROUTED {
        counts.declare(no_component, method, attribute::UNREPORTED, status);
    }
    declare_routes(upstream, counts, routes, components);
    examples(&known)
}

fn declare_catalogue(counts: &EdgeCounts, component: ComponentId, catalogue: &RouteCatalogue) {
    for series in catalogue.series() {
        counts.declare(component, series.method, &series.route, series.status);
    }
}

/// Creates the series of the routes file, under the component that each route reaches.
fn declare_routes<U: Upstream>(
    upstream: &U,
    counts: &EdgeCounts,
    routes: &Routes,
    components: &HashMap<String, ComponentId>,
) {
    for Route {
        method,
        route,
        status,
    } in &routes.catalogue().routes
    {
        // A template is a path that matches itself.
        let Some(target) = upstream.target(route) else {
            tracing::warn!(
                method,
                route,
                "the routes file has a route that no trigger serves"
            );
            continue;
        };
        let component = components[upstream.component(target)];
        let mut statuses = [*status].into_iter().chain(HOST_STATUSES);
        if !statuses.all(|status| counts.declare(component, method, route, status)) {
            tracing::warn!(
                method,
                route,
                "no room for the series of this route; its requests count as \"other\""
            );
        }
    }
}

/// Asks each target until it has answered, and creates the series that it lists.
pub(crate) async fn list_routes<U: Upstream>(
    upstream: &U,
    counts: &EdgeCounts,
    components: &HashMap<String, ComponentId>,
    timeout: Duration,
) {
    for target in upstream.targets() {
        let component = components[upstream.component(target)];
        let catalogue = loop {
            match tokio::time::timeout(timeout, request_catalogue(upstream, target)).await {
                Ok(Ok(catalogue)) => break catalogue,
                _ => tokio::time::sleep(PAUSE).await,
            }
        };
        if let Some(catalogue) = catalogue {
            declare_catalogue(counts, component, &catalogue);
        }
    }
}

/// Returns the routes that `target` lists, or `None` if it lists none.
async fn listed_routes<U: Upstream>(
    upstream: &U,
    target: &U::Target,
    timeout: Duration,
) -> Option<Vec<Route>> {
    match tokio::time::timeout(timeout, request_catalogue(upstream, target)).await {
        Ok(Ok(catalogue)) => return catalogue.map(|catalogue| catalogue.routes),
        Ok(Err(error)) => tracing::warn!(error, "the component failed to list its routes"),
        Err(_) => tracing::warn!("the component did not list its routes within {timeout:?}"),
    }
    None
}

async fn request_catalogue<U: Upstream>(
    upstream: &U,
    target: &U::Target,
) -> Result<Option<RouteCatalogue>, Box<dyn Error + Send + Sync>> {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned()?;
    let request = request(upstream.route(target))?;
    let response = upstream.respond(target, request, permit).await.response?;
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    // Frameworks append a charset.
    let is_catalogue = content_type.is_some_and(|content_type| {
        content_type
            .trim()
            .eq_ignore_ascii_case(RouteCatalogue::CONTENT_TYPE)
    });
    if response.status() != StatusCode::OK || !is_catalogue {
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
