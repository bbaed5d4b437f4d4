//! Builds status, headers and body from typed output.

use crate::{
    error::ApiError,
    item::{Item, ItemId},
};
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;

/// A response with a buffered body.
pub type Reply = Response<Vec<u8>>;

/// Returns a response with `body` as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("strings and integers always serialize");
    raw_json(status, body)
}

/// Returns a response whose body is JSON already.
pub fn raw_json(status: StatusCode, body: impl Into<Vec<u8>>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    reply
}

/// Returns 201 with the new item and its location.
pub fn created(item: &Item) -> Reply {
    let mut reply = json(StatusCode::CREATED, item);
    let location = format!("/items/{}", item.id.get());
    let location = HeaderValue::from_str(&location).expect("a number is a valid header value");
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}

/// Returns 200 with a page of `limit` items; an extra item means that there is a next page.
pub fn page(mut items: Vec<Item>, limit: u32) -> Reply {
    #[derive(Serialize)]
    struct Body {
        items: Vec<Item>,
        next: Option<ItemId>,
    }
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|item| item.id);
    json(StatusCode::OK, &Body { items, next })
}

/// Returns 204.
pub fn no_content() -> Reply {
    let mut reply = Response::new(Vec::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// Returns the error's status with its public message.
pub fn error(error: &ApiError) -> Reply {
    let body = match error {
        ApiError::NotReady(_) => json!({ "ready": false, "error": error.to_string() }),
        _ => json!({ "error": error.to_string() }),
    };
    let mut reply = json(error.status(), &body);
    if let ApiError::MethodNotAllowed { allow } = error {
        reply
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ItemName;

    fn items(count: i64) -> Vec<Item> {
        let item = |id| Item {
            id: ItemId::assigned(id),
            name: ItemName::stored("x".into()),
        };
        (1..=count).map(item).collect()
    }

    #[test]
    fn next_is_null_on_the_last_page() {
        let body = |reply: Reply| String::from_utf8(reply.into_body()).unwrap();
        assert_eq!(
            body(page(items(1), 1)),
            r#"{"items":[{"id":1,"name":"x"}],"next":null}"#
        );
        assert_eq!(
            body(page(items(2), 1)),
            r#"{"items":[{"id":1,"name":"x"}],"next":1}"#
        );
        assert_eq!(body(page(items(0), 1)), r#"{"items":[],"next":null}"#);
    }
}
