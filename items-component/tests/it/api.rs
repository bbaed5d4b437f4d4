//! Operations, errors and fault injection.

use crate::memory_store::MemoryStore;
use futures::executor::block_on;
use http::Method;
use items_component::{
    request::BodyError,
    service::{Outcome, Request, Service},
};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    error::Error,
    time::Duration,
};

struct Harness {
    store: MemoryStore,
    fault_injection: bool,
    slept: RefCell<Vec<Duration>>,
    read_limit: Cell<Option<usize>>,
}

struct TestRequest<'a> {
    method: Method,
    target: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: Result<&'a str, BodyError>,
    read_limit: &'a Cell<Option<usize>>,
}

impl Request for TestRequest<'_> {
    fn method(&self) -> &Method {
        &self.method
    }

    fn target(&self) -> &str {
        self.target
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    async fn read_body(self, limit: usize) -> Result<Vec<u8>, BodyError> {
        self.read_limit.set(Some(limit));
        self.body.map(|text| text.as_bytes().to_vec())
    }
}

impl Harness {
    fn new() -> Self {
        Self {
            store: MemoryStore::default(),
            fault_injection: true,
            slept: RefCell::default(),
            read_limit: Cell::default(),
        }
    }

    fn send(
        &self,
        request: &str,
        headers: &[(&'static str, &str)],
        body: Result<&str, BodyError>,
    ) -> Outcome {
        let (method, target) = request.split_once(' ').unwrap();
        let service = Service {
            store: &self.store,
            sleep: async |delay| self.slept.borrow_mut().push(delay),
            fault_injection: self.fault_injection,
        };
        block_on(service.handle(TestRequest {
            method: method.parse().unwrap(),
            target,
            headers,
            body,
            read_limit: &self.read_limit,
        }))
    }

    fn send_json(&self, request: &str, body: &str) -> (u16, Value) {
        summary(&self.send(request, &[("content-type", "application/json")], Ok(body)))
    }

    fn get(&self, request: &str) -> (u16, Value) {
        summary(&self.send(request, &[], Ok("")))
    }
}

fn summary(outcome: &Outcome) -> (u16, Value) {
    let body = outcome.reply.body();
    let json = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).unwrap()
    };
    (outcome.reply.status().as_u16(), json)
}

fn error(message: &str) -> Value {
    json!({ "error": message })
}

#[test]
fn an_item_lives_from_its_creation_to_its_removal() {
    let harness = Harness::new();
    let created = harness.send(
        "POST /items",
        &[("content-type", "application/json")],
        Ok(r#"{"name": " demo "}"#),
    );
    assert_eq!(summary(&created), (201, json!({ "id": 1, "name": "demo" })));
    assert_eq!(created.reply.headers()["location"], "/items/1");
    assert_eq!(created.template, "/items");
    assert_eq!(
        harness.get("GET /items/1"),
        (200, json!({ "id": 1, "name": "demo" }))
    );
    assert_eq!(harness.get("HEAD /items/1").0, 200);
    assert_eq!(
        harness.send_json("PUT /items/1", r#"{"name": "new"}"#),
        (200, json!({ "id": 1, "name": "new" }))
    );
    assert_eq!(
        harness.get("GET /items").1["items"],
        json!([{ "id": 1, "name": "new" }])
    );
    assert_eq!(harness.get("DELETE /items/1"), (204, Value::Null));
    for request in [
        "GET /items/1",
        "DELETE /items/1",
        "GET /items/0",
        "GET /items/x",
    ] {
        assert_eq!(
            harness.get(request),
            (404, error("item not found")),
            "{request}"
        );
    }
    assert_eq!(
        harness.send_json("PUT /items/1", r#"{"name": "x"}"#),
        (404, error("item not found"))
    );
    assert_eq!(
        harness.send_json("POST /items", r#"{"name": "x"}"#).1["id"],
        2
    );
}

#[test]
fn pages_together_list_every_item_once() {
    let harness = Harness::new();
    for index in 0..7 {
        harness.send_json("POST /items", &format!(r#"{{"name": "{index}"}}"#));
    }
    let (mut after, mut names) = (json!(0), Vec::new());
    while !after.is_null() {
        let (_, page) = harness.get(&format!("GET /items?limit=3&after={after}"));
        names.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["name"].clone()),
        );
        after = page["next"].clone();
    }
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(harness.get("GET /items?limit=0").0, 400);
}

#[test]
fn a_body_is_refused_before_it_is_read_if_possible() {
    let harness = Harness::new();
    let json = ("content-type", "application/json");
    assert_eq!(summary(&harness.send("POST /items", &[], Ok("{}"))).0, 415);
    assert_eq!(
        summary(&harness.send(
            "POST /items",
            &[json, ("content-length", "65537")],
            Ok("{}")
        ))
        .0,
        413
    );
    assert_eq!(
        summary(&harness.send("PUT /items/0", &[json], Ok("{}"))).0,
        404
    );
    assert_eq!(harness.read_limit.get(), None);
    assert_eq!(
        summary(&harness.send("POST /items", &[json], Err(BodyError::TooLarge))).0,
        413
    );
    assert_eq!(harness.read_limit.get(), Some(65_536));
    assert_eq!(
        summary(&harness.send("POST /items", &[json], Err(BodyError::Unreadable))).0,
        400
    );
    assert_eq!(
        harness.send_json("POST /items", "{}"),
        (400, error("name is required"))
    );
}

#[test]
fn an_unknown_path_is_404_and_an_unknown_method_405() {
    let harness = Harness::new();
    let unmatched = harness.send("GET /nowhere", &[], Ok(""));
    assert_eq!(
        (summary(&unmatched).0, unmatched.template),
        (404, "unmatched")
    );
    let not_allowed = harness.send("PATCH /items/1", &[], Ok(""));
    assert_eq!(
        (summary(&not_allowed).0, not_allowed.template),
        (405, "/items/{id}")
    );
    assert_eq!(
        not_allowed.reply.headers()["allow"],
        "GET, HEAD, PUT, DELETE"
    );
}

#[test]
fn a_broken_store_is_an_internal_exception_but_a_failed_readiness_probe_is_not() {
    let harness = Harness::new();
    assert_eq!(
        harness.get("GET /health/ready"),
        (200, json!({ "ready": true }))
    );
    harness.store.broken.set(true);
    let failed = harness.send("GET /items", &[], Ok(""));
    assert_eq!(summary(&failed), (500, error("internal error")));
    assert_eq!(failed.error.unwrap().class(), Some("store"));
    let ready = harness.send("GET /health/ready", &[], Ok(""));
    let refusal = json!({ "ready": false, "error": "the store does not answer" });
    assert_eq!(summary(&ready), (503, refusal));
    let error = ready.error.unwrap();
    assert_eq!(error.class(), None);
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    assert_eq!(
        harness.get("GET /health/live"),
        (200, json!({ "live": true }))
    );
    assert_eq!(harness.get("GET /").1["status"], "ok");
}

#[test]
fn faults_are_injected_only_if_allowed() {
    let mut harness = Harness::new();
    let failed = harness.send("GET /", &[("x-fault", "error")], Ok(""));
    assert_eq!(summary(&failed), (500, error("internal error")));
    assert_eq!(failed.error.unwrap().class(), Some("fault_injected"));
    assert_eq!(
        summary(&harness.send("GET /", &[("x-fault", "delay=2s")], Ok(""))).0,
        200
    );
    assert_eq!(*harness.slept.borrow(), [Duration::from_secs(2)]);
    assert_eq!(
        summary(&harness.send("GET /", &[("x-fault", "explode")], Ok(""))).0,
        400
    );
    harness.fault_injection = false;
    for fault in ["error", "panic", "delay=60s", "explode"] {
        assert_eq!(
            summary(&harness.send("GET /", &[("x-fault", fault)], Ok(""))).0,
            200,
            "{fault}"
        );
    }
    assert_eq!(harness.slept.borrow().len(), 1);
}

#[test]
#[should_panic(expected = "injected panic")]
fn an_injected_panic_is_a_panic() {
    Harness::new().send("GET /", &[("x-fault", "panic")], Ok(""));
}
