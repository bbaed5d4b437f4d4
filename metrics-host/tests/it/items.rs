//! The items API, wherever it runs.

use crate::{
    client::{self, Connection, empty, get, json, request},
    target::Target,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};

async fn create(api: SocketAddr, name: &str) -> i64 {
    let reply = client::send(
        api,
        json("POST /items", json!({ "name": name }).to_string()),
    )
    .await;
    assert_eq!(reply.status, 201);
    reply.json()["id"].as_i64().unwrap()
}

/// Lists every item by following `next`.
pub(crate) async fn list_all(api: SocketAddr, limit: usize) -> Vec<Value> {
    let mut connection = Connection::open(api).await.unwrap();
    let (mut items, mut after) = (Vec::new(), json!(0));
    while !after.is_null() {
        let line = format!("GET /items?limit={limit}&after={after}");
        let page = connection.send(empty(request(&line))).await.unwrap().json();
        let page_items = page["items"].as_array().unwrap();
        assert!(page_items.len() <= limit);
        items.extend(page_items.iter().cloned());
        after = page["next"].clone();
    }
    items
}

#[tokio::test]
async fn an_item_is_created_read_replaced_and_deleted() {
    let target = Target::find().await;
    let created = client::send(target.api, json("POST /items", r#"{"name": "  demo  "}"#)).await;
    assert_eq!(created.status, 201);
    let id = created.json()["id"].as_i64().unwrap();
    assert_eq!(created.json(), json!({ "id": id, "name": "demo" }));
    let path = format!("/items/{id}");
    assert_eq!(created.header("location"), Some(&*path));
    assert_eq!(created.header("content-type"), Some("application/json"));

    let read = get(target.api, &format!("GET {path}")).await;
    assert_eq!(
        (read.status.as_u16(), read.json()),
        (200, json!({ "id": id, "name": "demo" }))
    );
    let head = get(target.api, &format!("HEAD {path}")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let replaced = client::send(
        target.api,
        json(&format!("PUT {path}"), r#"{"name":"new"}"#),
    )
    .await;
    assert_eq!(
        (replaced.status.as_u16(), replaced.json()),
        (200, json!({ "id": id, "name": "new" }))
    );
    let deleted = get(target.api, &format!("DELETE {path}")).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
    for method in ["GET", "DELETE"] {
        let gone = get(target.api, &format!("{method} {path}")).await;
        assert_eq!(
            (gone.status.as_u16(), gone.json()),
            (404, json!({ "error": "item not found" }))
        );
    }
    assert!(
        create(target.api, "next").await > id,
        "the id of a deleted item was given to another"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_answered_with_its_own_4xx() {
    let target = Target::find().await;
    let long = json!({ "name": "x".repeat(201) }).to_string();
    let huge = json!({ "name": "x".repeat(70_000) }).to_string();
    let post = |body: &str| json("POST /items", body.to_owned());
    let text = request("POST /items").header("content-type", "text/plain");
    let cases = [
        (post("{"), 400, "malformed JSON"),
        (post("[]"), 400, "body must be a JSON object"),
        (post("{}"), 400, "name is required"),
        (post(r#"{"name":" "}"#), 400, "name is required"),
        (post(r#"{"name":1}"#), 400, "name must be a string"),
        (post(r#"{"name":"a\nb"}"#), 400, "control character"),
        (post(&long), 400, "201 characters"),
        (post(&huge), 413, "65536"),
        (text.body("{}".into()).unwrap(), 415, "application/json"),
        (empty(request("GET /items?limit=0")), 400, "limit"),
        (empty(request("GET /items?limit=1001")), 400, "limit"),
        (empty(request("GET /items?after=x")), 400, "after"),
        (empty(request("GET /items/0")), 404, "not found"),
        (empty(request("GET /items/x")), 404, "not found"),
        (empty(request("GET /nowhere")), 404, "not found"),
        (empty(request("GET /items/")), 404, "not found"),
    ];
    for (request, status, message) in cases {
        let line = format!("{} {}", request.method(), request.uri());
        let reply = client::send(target.api, request).await;
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{line}: {error}");
    }
}

#[tokio::test]
async fn a_known_path_names_the_methods_it_has() {
    let target = Target::find().await;
    for (line, allow) in [
        ("DELETE /", "GET, HEAD"),
        ("PATCH /items", "GET, HEAD, POST"),
        ("POST /items/1", "GET, HEAD, PUT, DELETE"),
        ("PUT /health/live", "GET, HEAD"),
        ("OPTIONS /openapi.json", "GET, HEAD"),
    ] {
        let reply = get(target.api, line).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, Some(allow)),
            "{line}"
        );
    }
}

#[tokio::test]
async fn the_service_tells_what_it_is_and_how_it_is() {
    let target = Target::find().await;
    let service = get(target.api, "GET /").await.json();
    assert_eq!(
        (&service["service"], &service["status"]),
        (&json!("items"), &json!("ok"))
    );
    assert_eq!(
        get(target.api, "GET /health/live").await.json(),
        json!({ "live": true })
    );
    assert_eq!(
        get(target.api, "GET /health/ready").await.json(),
        json!({ "ready": true })
    );
    let document = get(target.api, "GET /openapi.json").await.json();
    for path in document["paths"].as_object().unwrap().keys() {
        let reply = get(
            target.api,
            &format!("GET {}", path.replace("{id}", "999999999")),
        )
        .await;
        assert_ne!(reply.json()["error"], "not found", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creations_are_all_kept_once() {
    let target = Target::find().await;
    let api = target.api;
    let creations = (0..100).map(|index| {
        tokio::spawn(async move { create(api, &format!("concurrent {index}")).await })
    });
    let mut ids = BTreeSet::new();
    for creation in creations.collect::<Vec<_>>() {
        assert!(ids.insert(creation.await.unwrap()), "an id was given twice");
    }
    let listed = list_all(api, 7).await;
    let listed: Vec<_> = listed
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect();
    assert!(listed.is_sorted() && ids.iter().all(|id| listed.contains(id)));
    assert_eq!(
        listed.iter().collect::<BTreeSet<_>>().len(),
        listed.len(),
        "an item is listed twice"
    );
}

#[tokio::test]
async fn a_page_too_long_to_wait_for_arrives_whole() {
    let target = Target::find().await;
    let name = "n".repeat(200);
    for _ in 0..400 {
        create(target.api, &name).await;
    }
    let reply = get(target.api, "GET /items?limit=1000").await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.len() > 80_000, "{} bytes", reply.body.len());
    let items = reply.json()["items"].as_array().unwrap().clone();
    assert!(items.iter().filter(|item| item["name"] == *name).count() >= 400);
}
