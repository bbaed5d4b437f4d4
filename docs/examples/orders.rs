//! Orders, an HTTP service that tells the metrics-host in front of it what it counts. With axum.

use axum::{
    Json, Router,
    extract::{MatchedPath, Path, Request},
    http::{HeaderMap, HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

const CATALOGUE: &str =
    r#"{"routes": [{"method": "GET", "route": "/orders/{id}", "status": 200}]}"#;

pub(crate) fn orders() -> Router {
    Router::new()
        .route("/orders/{id}", get(order))
        .route("/.well-known/telemetry-vocabulary", get(catalogue))
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({ "error": "not found" }))) })
        .layer(from_fn(name_route))
}

async fn order(Path(id): Path<String>) -> Response {
    match id.parse::<i64>() {
        Ok(id) => Json(json!({ "id": id })).into_response(),
        Err(_) => {
            let class = [("telemetry-error", "ParseIntError")];
            let content = Json(json!({ "error": "internal error" }));
            (StatusCode::INTERNAL_SERVER_ERROR, class, content).into_response()
        }
    }
}

async fn catalogue(headers: HeaderMap) -> Response {
    if !headers.contains_key("telemetry-describe") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let content_type = "application/vnd.telemetry-vocabulary+json";
    ([("content-type", content_type)], CATALOGUE).into_response()
}

/// Tells which route matched, for every response.
async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unmatched", MatchedPath::as_str);
    let route = HeaderValue::from_str(route);
    let mut response = next.run(request).await;
    if let Ok(route) = route {
        response.headers_mut().insert("telemetry-route", route);
    }
    response
}
