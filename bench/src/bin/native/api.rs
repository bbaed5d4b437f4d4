//! The routes and their handlers.

use crate::{
    metrics::{self, Metrics},
    store::{Item, Store, StoreError},
};
use anyhow::Result;
use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{HeaderName, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;

/// As in the component.
const MAX_BODY: usize = 64 << 10;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const MAX_NAME_LEN: usize = 200;

type Shared = State<Arc<Store>>;

/// Serves without end.
pub(crate) async fn serve(listener: TcpListener, store: Store) -> Result<()> {
    let metrics = Arc::new(Metrics::new()?);
    let router = Router::new()
        .route("/", get(show_service))
        .route("/items", get(list_items).post(create_item))
        .route(
            "/items/{id}",
            get(read_item).put(replace_item).delete(delete_item),
        )
        .route(
            "/health/live",
            get(|| async { Json(json!({ "live": true })) }),
        )
        .route("/health/ready", get(show_ready))
        .route("/openapi.json", get(show_openapi))
        .fallback(|| async { Failure::NotFound("not found") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&metrics),
            metrics::count,
        ))
        .with_state(Arc::new(store))
        .route("/metrics", get(show_metrics).with_state(metrics));
    let listener = listener.tap_io(|stream| {
        // Answers are written whole; without it they are only slower.
        _ = stream.set_nodelay(true);
    });
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
    #[serde(default = "default_limit")]
    limit: u32,
    #[serde(default)]
    after: i64,
}

fn default_limit() -> u32 {
    DEFAULT_LIMIT
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
    let Query(page) = page?;
    if !(1..=MAX_LIMIT).contains(&page.limit) {
        return Err(Failure::BadRequest(format!(
            "limit must be a whole number from 1 to {MAX_LIMIT}"
        )));
    }
    // One more than asked for says whether there is a next page.
    let mut items = store.list(page.after, page.limit + 1)?;
    let more = items.len() > page.limit as usize;
    items.truncate(page.limit as usize);
    let next = items.last().filter(|_| more).map(|item| item.id);
    Ok(Json(Items { items, next }))
}

#[derive(Deserialize)]
struct NewItem {
    name: Option<String>,
}

type Body = Result<Json<NewItem>, JsonRejection>;

async fn create_item(State(store): Shared, body: Body) -> Result<impl IntoResponse, Failure> {
    let item = store.create(name(body)?).await?;
    let location = [(header::LOCATION, format!("/items/{}", item.id))];
    Ok((StatusCode::CREATED, location, Json(item)))
}

async fn read_item(State(store): Shared, Path(id): Path<i64>) -> Result<Json<Item>, Failure> {
    Ok(Json(store.read(id)?.ok_or(NO_ITEM)?))
}

async fn replace_item(
    State(store): Shared,
    Path(id): Path<i64>,
    body: Body,
) -> Result<Json<Item>, Failure> {
    let item = store.replace(id, name(body)?).await?;
    Ok(Json(item.ok_or(NO_ITEM)?))
}

async fn delete_item(State(store): Shared, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    store.delete(id).await?.ok_or(NO_ITEM)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_ready(State(store): Shared) -> Result<impl IntoResponse, Failure> {
    store.list(0, 1)?;
    Ok(Json(json!({ "ready": true })))
}

async fn show_openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let document = include_str!("../../../../items-component/src/openapi.json");
    (json, document)
}

async fn show_metrics(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.render() {
        Ok(page) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response(),
        Err(error) => {
            eprintln!("native: cannot write metrics: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
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
    Err(Failure::BadRequest(complaint.into()))
}

const NO_ITEM: Failure = Failure::NotFound("item not found");

/// Why a request is not answered as it wishes.
enum Failure {
    BadRequest(String),
    NotFound(&'static str),
    /// What axum found wrong with a body.
    Body(JsonRejection),
    Internal,
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body(rejection)
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        eprintln!("native: {error}");
        Self::Internal
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message.into()),
            // JSON of another shape is a bad request, too.
            Self::Body(JsonRejection::JsonDataError(error)) => {
                (StatusCode::BAD_REQUEST, error.body_text())
            }
            Self::Body(rejection) => (rejection.status(), rejection.body_text()),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error".into()),
        };
        (status, Json(json!({ "error": message }))).into_response()
    }
}
