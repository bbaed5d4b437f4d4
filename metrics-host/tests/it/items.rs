//! The items API, wherever the service runs.

use crate::{
    client::{self, Connection, empty, get, json, request, with_body},
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
        "the id of a deleted item was reused"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_answered_with_its_own_4xx() {
    let target = Target::find().await;
    let long = json!({ "name": "x".repeat(201) }).to_string();
    let huge = json!({ "name": "x".repeat(70_000) }).to_string();
    let post = |body: &str| json("POST /items", body.to_owned());
    let put = |path: &str, body: &str| json(&format!("PUT {path}"), body.to_owned());
    let created = format!("/items/{}", create(target.api, "kept").await);
    let text = request("POST /items").header("content-type", "text/plain");
    let cases = [
        (post("{"), 400, "malformed JSON"),
        (post("[]"), 400, "body must be a JSON object"),
        (post("{}"), 400, "name is required"),
        (post(r#"{"name":" "}"#), 400, "name is required"),
        (post(r#"{"name":1}"#), 400, "name must be a string"),
        (post(r#"{"name":"a\nb"}"#), 400, "control character"),
        (post(r#"{"name":null}"#), 400, "name is required"),
        (post(&long), 400, "201 characters"),
        (post(&huge), 413, "65536"),
        (with_body(text, "{}"), 415, "application/json"),
        (empty(request("POST /items")), 415, "application/json"),
        (put(&created, "{}"), 400, "name is required"),
        (put(&created, &long), 400, "201 characters"),
        (put(&created, &huge), 413, "65536"),
        (
            empty(request(&format!("PUT {created}"))),
            415,
            "application/json",
        ),
        (put("/items/0", r#"{"name":"x"}"#), 404, "item not found"),
        (
            put("/items/999999999", r#"{"name":"x"}"#),
            404,
            "item not found",
        ),
        (empty(request("GET /items?limit=0")), 400, "limit"),
        (empty(request("GET /items?limit=1001")), 400, "limit"),
        (empty(request("GET /items?limit=x")), 400, "limit"),
        (empty(request("GET /items?limit=1&limit=1")), 400, "limit"),
        (empty(request("GET /items?after=x")), 400, "after"),
        (empty(request("GET /items?after=-1")), 400, "after"),
        (empty(request("GET /items/0")), 404, "not found"),
        (empty(request("GET /items/x")), 404, "not found"),
        (
            empty(request("DELETE /items/99999999999999999999")),
            404,
            "item not found",
        ),
        (empty(request("GET /nowhere")), 404, "not found"),
        (empty(request("GET /items/")), 404, "not found"),
    ];
    for (request, status, message) in cases {
        let line = format!("{} {}", request.method(), request.uri());
        let reply = client::send(target.api, request).await;
        assert_eq!(reply.status, status, "{line}: {reply:?}");
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{line}: {error}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let kept = get(target.api, &format!("GET {created}")).await;
    assert_eq!(kept.json()["name"], "kept");
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_taken() {
    let target = Target::find().await;
    let longest = "ü".repeat(200);
    let id = create(target.api, &format!(" {longest}\t")).await;
    let read = get(target.api, &format!("GET /items/{id}")).await;
    assert_eq!(read.json()["name"], *longest);

    let padded = |length: usize| {
        let body = r#"{"name":"padded"}"#;
        body.to_owned() + &" ".repeat(length - body.len())
    };
    for (length, status) in [(65_536, 201), (65_537, 413)] {
        let reply = client::send(target.api, json("POST /items", padded(length))).await;
        assert_eq!(reply.status, status, "{length} bytes");
    }
    let typed = request("POST /items").header("content-type", "Application/JSON; charset=utf-8");
    let typed = with_body(typed, r#"{"name":"typed","more":1}"#);
    assert_eq!(client::send(target.api, typed).await.status, 201);
    let page = get(target.api, "GET /items?limit=1000&unknown=x").await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn pages_are_in_the_order_of_ids_and_end_where_the_items_end() {
    let target = Target::find().await;
    let mut connection = Connection::open(target.api).await.unwrap();
    let mut ids = Vec::new();
    for index in 0..101 {
        let body = json!({ "name": format!("page {index}") }).to_string();
        let reply = connection.send(json("POST /items", body)).await.unwrap();
        ids.push(reply.json()["id"].as_i64().unwrap());
    }
    let page = async |query: String| {
        let page = get(target.api, &format!("GET /items?{query}")).await.json();
        let items = page["items"].as_array().unwrap();
        let ids: Vec<_> = items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect();
        (ids, page["next"].clone())
    };
    let before = ids[0] - 1;
    // The default limit is 100.
    let (first, next) = page(format!("after={before}")).await;
    assert_eq!((&*first, next), (&ids[..100], json!(ids[99])));
    let (rest, next) = page(format!("after={}", ids[99])).await;
    assert_eq!((&*rest, next), (&ids[100..], Value::Null));
    let (whole, next) = page(format!("after={before}&limit=101")).await;
    assert_eq!((whole, next), (ids.clone(), Value::Null));
    let (nothing, next) = page(format!("after={}", ids[100])).await;
    assert_eq!((nothing, next), (vec![], Value::Null));

    get(target.api, &format!("DELETE /items/{}", ids[1])).await;
    let (without, next) = page(format!("after={before}&limit=2")).await;
    assert_eq!((without, next), (vec![ids[0], ids[2]], json!(ids[2])));
}

#[tokio::test]
async fn a_head_is_that_of_the_get_without_its_body() {
    let target = Target::find().await;
    for path in ["/", "/items", "/health/live", "/openapi.json", "/nowhere"] {
        let whole = get(target.api, &format!("GET {path}")).await;
        let head = get(target.api, &format!("HEAD {path}")).await;
        assert_eq!((head.status, head.body.len()), (whole.status, 0), "{path}");
        assert_eq!(
            head.header("content-type"),
            whole.header("content-type"),
            "{path}"
        );
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
}

#[tokio::test]
async fn the_document_lists_exactly_the_routes_that_are_served() {
    let target = Target::find().await;
    let document = get(target.api, "GET /openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let listed: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    let served = [
        "/",
        "/items",
        "/items/{id}",
        "/health/live",
        "/health/ready",
        "/openapi.json",
    ];
    assert_eq!(listed, BTreeSet::from(served));
    for (path, resource) in paths {
        let resource = resource.as_object().unwrap();
        let documented: BTreeSet<_> = resource
            .keys()
            .filter(|key| *key != "parameters")
            .map(|method| method.to_uppercase())
            .collect();
        let refused = get(target.api, &format!("BREW {}", path.replace("{id}", "1"))).await;
        let allowed: BTreeSet<_> = refused
            .header("allow")
            .unwrap()
            .split(", ")
            // HEAD is served as GET, and has no entry of its own.
            .filter(|method| *method != "HEAD")
            .map(str::to_owned)
            .collect();
        assert_eq!(documented, allowed, "{path}");
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
