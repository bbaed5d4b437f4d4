//! The routes and their handlers.

use crate::{
    metrics,
    store::{CREATE, DELETE, Item, LIST, READ, REPLACE, Store},
};
use anyhow::{Context, Error};
use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;

// The same limits as in the component.
const MAX_BODY: usize = 64 << 10;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const MAX_NAME_LEN: usize = 200;

type Shared = State<Arc<Store>>;

/// Serves until the process is killed.
pub(crate) async fn serve(listener: TcpListener, store: Store) -> Result<(), Error> {
    let item = get(read_item).put(replace_item).delete(delete_item);
    let live = async || Json(json!({ "live": true }));
    let router = Router::new()
        .route("/", get(show_service))
        .route("/items", get(list_items).post(create_item))
        .route("/items/{id}", item)
        .route("/health/live", get(live))
        .route("/health/ready", get(show_ready))
        .route("/openapi.json", get(show_openapi))
        .fallback(|| async { Failure::not_found("not found") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(metrics::count))
        .with_state(Arc::new(store))
        .route("/metrics", get(metrics::show));
    // A failure only makes answers slower.
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    Ok(axum::serve(listener, router).await?)
}

#[derive(Serialize)]
struct Service {
    service: &'static str,
    status: &'static str,
    version: &'static str,
}

async fn show_service() -> Json<Service> {
    Json(Service {
        service: "items",
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u32>,
    after: Option<i64>,
}

#[derive(Serialize)]
struct Items {
    items: Vec<Item>,
    next: Option<i64>,
}

async fn list_items(
    State(store): Shared,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Items>, Failure> {
    let Query(Page { limit, after }) = page?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let message = format!("limit must be a whole number from 1 to {MAX_LIMIT}");
        return Err(Failure::bad_request(message));
    }
    // One extra row tells whether there is a next page.
    let mut items = store.read(LIST, (after.unwrap_or_default(), limit + 1))?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|item| item.id);
    Ok(Json(Items { items, next }))
}

#[derive(Deserialize)]
struct NewItem {
    name: Option<String>,
}

type Body = Result<Json<NewItem>, JsonRejection>;

async fn create_item(State(store): Shared, body: Body) -> Result<impl IntoResponse, Failure> {
    let item = store.write(CREATE, [name(body)?]).await?;
    let item = item.context("an insertion returns its row")?;
    let location = [(header::LOCATION, format!("/items/{}", item.id))];
    Ok((StatusCode::CREATED, location, Json(item)))
}

async fn read_item(State(store): Shared, Path(id): Path<i64>) -> Result<Json<Item>, Failure> {
    Ok(Json(store.read(READ, [id])?.pop().ok_or_else(no_item)?))
}

async fn replace_item(
    State(store): Shared,
    Path(id): Path<i64>,
    body: Body,
) -> Result<Json<Item>, Failure> {
    let item = store.write(REPLACE, (name(body)?, id)).await?;
    Ok(Json(item.ok_or_else(no_item)?))
}

async fn delete_item(State(store): Shared, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    store.write(DELETE, [id]).await?.ok_or_else(no_item)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_ready(State(store): Shared) -> Result<impl IntoResponse, Failure> {
    store.read(LIST, (0, 1))?;
    Ok(Json(json!({ "ready": true })))
}

async fn show_openapi() -> impl IntoResponse {
    let document = include_str!("../../../../items-component/src/openapi.json");
    ([(header::CONTENT_TYPE, "application/json")], document)
}

fn no_item() -> Failure {
    Failure::not_found("item not found")
}

fn name(body: Body) -> Result<String, Failure> {
    let Json(NewItem { name }) = body?;
    let name = name.unwrap_or_default().trim().to_owned();
    let complaint = if name.is_empty() {
        "name is required"
    } else if name.chars().count() > MAX_NAME_LEN {
        "name is too long"
    } else if name.contains(char::is_control) {
        "name contains a control character"
    } else {
        return Ok(name);
    };
    Err(Failure::bad_request(complaint))
}

/// A failed request: its status and the message of its body.
struct Failure(StatusCode, String);

impl Failure {
    fn not_found(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, what.into())
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            // axum answers 422 to JSON of another shape.
            JsonRejection::JsonDataError(error) => Self::bad_request(error.body_text()),
            other => Self(other.status(), other.body_text()),
        }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        eprintln!("native: {error:#}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "internal error".into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
