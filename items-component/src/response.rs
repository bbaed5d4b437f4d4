//! Typed output → status, headers, body.

use crate::{
    error::ApiError,
    item::{Item, ItemId},
};
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;

/// An answer with its body in one piece.
pub type Reply = Response<Vec<u8>>;

/// Answers with `body` as JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("answers hold nothing that JSON cannot");
    raw_json(status, body)
}

/// Answers with a body that is JSON already.
pub fn raw_json(status: StatusCode, body: impl Into<Vec<u8>>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    reply
}

/// Answers with an item that was just created.
pub fn created(item: &Item) -> Reply {
    let mut reply = json(StatusCode::CREATED, item);
    let location = format!("/items/{}", item.id.get());
    let location = HeaderValue::from_str(&location).expect("a number is a valid header value");
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}

/// Answers with a page of items, of which one more than `limit` may have been found.
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

/// Answers that something was done and there is nothing to say.
pub fn no_content() -> Reply {
    let mut reply = Response::new(Vec::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// Answers with what went wrong, as far as the client may know.
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
    fn a_page_names_the_next_one_only_if_there_is_one() {
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
