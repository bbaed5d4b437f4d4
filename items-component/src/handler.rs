//! Handlers: one function per operation.

use crate::{
    error::ApiError,
    item::{ItemId, ItemName},
    request::Page,
    response::{self, Reply},
    store::Store,
};
use http::StatusCode;

pub(crate) fn show_service() -> Reply {
    let body = concat!(
        r#"{"service":"items","status":"ok","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    );
    response::raw_json(StatusCode::OK, body)
}

pub(crate) async fn list_items(store: &impl Store, page: Page) -> Result<Reply, ApiError> {
    // One extra row tells whether there is a next page.
    let items = store.list(page.after, page.limit + 1).await?;
    Ok(response::page(items, page.limit))
}

pub(crate) async fn create_item(store: &impl Store, name: ItemName) -> Result<Reply, ApiError> {
    Ok(response::created(&store.create(name).await?))
}

pub(crate) async fn read_item(store: &impl Store, id: ItemId) -> Result<Reply, ApiError> {
    let item = store.read(id).await?.ok_or(ApiError::NoItem)?;
    Ok(response::json(StatusCode::OK, &item))
}

pub(crate) async fn replace_item(
    store: &impl Store,
    id: ItemId,
    name: ItemName,
) -> Result<Reply, ApiError> {
    let item = store.replace(id, name).await?.ok_or(ApiError::NoItem)?;
    Ok(response::json(StatusCode::OK, &item))
}

pub(crate) async fn delete_item(store: &impl Store, id: ItemId) -> Result<Reply, ApiError> {
    if store.delete(id).await? {
        Ok(response::no_content())
    } else {
        Err(ApiError::NoItem)
    }
}

pub(crate) fn live() -> Reply {
    response::raw_json(StatusCode::OK, r#"{"live":true}"#)
}

pub(crate) async fn ready(store: &impl Store) -> Result<Reply, ApiError> {
    store.check().await.map_err(ApiError::NotReady)?;
    Ok(response::raw_json(StatusCode::OK, r#"{"ready":true}"#))
}

pub(crate) fn show_openapi() -> Reply {
    response::raw_json(StatusCode::OK, include_str!("openapi.json"))
}
