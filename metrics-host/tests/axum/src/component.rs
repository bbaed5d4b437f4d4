//! Orders over HTTP.

mod orders;

use axum::{
    Router,
    extract::{Path, Request},
    http::{StatusCode, Uri},
    response::Response,
    routing::get,
};
use request_telemetry::{self as telemetry, Route, RouteCatalogue};
use std::{env, sync::LazyLock};
use tower_service::Service;

/// Paths beside the router.
static BESIDE: telemetry::RouteList = telemetry::RouteList::new("GET /reports/{year}");

static APP: LazyLock<telemetry::App> = LazyLock::new(|| telemetry::App {
    // Two applications of the tests have this component.
    service: env::var("APPLICATION").map_or("shop", |name| name.leak()),
    version: env!("CARGO_PKG_VERSION"),
    component: "orders",
    catalogue,
});

telemetry::http_service!(APP, handle);

async fn handle(request: Request<telemetry::Body>) -> Response {
    // The router names only its own routes.
    BESIDE.name(&request);
    let Ok(response) = router().call(request).await;
    response
}

fn router() -> Router {
    telemetry::routes(
        Router::new()
            .route("/orders", get(orders::list))
            .route("/orders/{id}", get(read_order).put(orders::write))
            .route("/panic", get(panic)),
    )
    .fallback(beside)
}

async fn read_order(Path(id): Path<u64>) -> Result<String, StatusCode> {
    if id == 0 {
        telemetry::exception("NoOrder");
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(format!("order {id}"))
}

async fn beside(uri: Uri) -> Result<&'static str, StatusCode> {
    match uri.path().strip_prefix("/reports/") {
        Some(_) => Ok("a report"),
        None => Err(StatusCode::NOT_FOUND),
    }
}

async fn panic() {
    panic!("on purpose");
}

fn catalogue() -> RouteCatalogue {
    RouteCatalogue {
        routes: vec![Route {
            method: "GET".into(),
            route: "/orders/{id}".into(),
            status: 200,
        }],
    }
}
