//! Sends sequences of requests to the items service: its OpenAPI document promises every response.
//!
//! `cargo fuzz fmt api FILE` prints the requests of a corpus file.

#![no_main]

#[path = "../../items-component/tests/it/memory_store.rs"]
mod memory_store;

use arbitrary::Arbitrary;
use futures::executor::block_on;
use http::{Method, Response, StatusCode, header};
use items_component::{
    fault::{self, Fault},
    request::BodyError,
    service::{Outcome, Request, Service},
};
use libfuzzer_sys::fuzz_target;
use memory_store::MemoryStore;
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../items-component/src/openapi.json"))
        .expect("the OpenAPI document is JSON")
});

/// Requests to the same store.
#[derive(Debug, Arbitrary)]
struct Session<'a> {
    store_broken: bool,
    fault_injection: bool,
    calls: Vec<Call<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Call<'a> {
    verb: Verb<'a>,
    target: Target<'a>,
    headers: Vec<Header<'a>>,
    body: Body<'a>,
}

#[derive(Debug, Arbitrary)]
enum Verb<'a> {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Other(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Target<'a> {
    Service,
    Items,
    Page { limit: u16, after: u8 },
    Query(&'a str),
    Item(u8),
    ItemNamed(&'a str),
    Live,
    Ready,
    OpenApi,
    Other(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Header<'a> {
    Json,
    ContentType(&'a str),
    ContentLength(u32),
    Fault(&'a str),
    Other(&'a str, &'a str),
}

#[derive(Debug, Arbitrary)]
enum Body<'a> {
    Name(&'a str),
    Bytes(&'a [u8]),
    Zeros(u32),
    BrokenOff,
}

fuzz_target!(|session: Session| {
    let store = MemoryStore::default();
    store.broken.set(session.store_broken);
    let service = Service {
        store: &store,
        sleep: async |_| {},
        fault_injection: session.fault_injection,
    };
    for call in &session.calls {
        let Some(request) = TestRequest::new(call) else {
            continue;
        };
        let fault = request
            .header(fault::HEADER)
            .filter(|_| session.fault_injection);
        // An injected trap would end the fuzzer.
        if fault
            .as_deref()
            .is_some_and(|text| matches!(Fault::parse(text), Ok(Fault::Panic | Fault::Overflow)))
        {
            continue;
        }
        let method = request.method.clone();
        check(&method, fault.is_some(), &block_on(service.handle(request)));
    }
});

fn check(method: &Method, fault: bool, outcome: &Outcome) {
    let reply = &outcome.reply;
    let status = reply.status();
    let injected = fault && matches!(status.as_u16(), 400 | 500);
    assert!(
        injected || promised(method, outcome.template).contains(&status),
        "{method} {}: {status}",
        outcome.template
    );
    let json = match status {
        StatusCode::NO_CONTENT => {
            assert!(reply.body().is_empty());
            return;
        }
        _ => json(reply),
    };
    assert_eq!(outcome.error.is_some(), !status.is_success());
    if !status.is_success() {
        assert!(
            json["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{json}"
        );
    }
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = text(reply, header::ALLOW);
            assert!(
                !allow.split(", ").any(|allowed| allowed == method.as_str()),
                "{allow}"
            );
        }
        StatusCode::CREATED => {
            assert_eq!(
                text(reply, header::LOCATION),
                format!("/items/{}", json["id"])
            );
        }
        _ => {}
    }
}

/// Returns the statuses that the document lists for an operation; 404 or 405 if it lists no such operation.
fn promised(method: &Method, template: &str) -> Vec<StatusCode> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let Some(resource) = DOCUMENT["paths"].get(template) else {
        return vec![StatusCode::NOT_FOUND];
    };
    // OpenAPI writes methods in lower case.
    let operation = resource.as_object().and_then(|operations| {
        operations
            .iter()
            .find(|(name, _)| name.to_uppercase() == method.as_str())
    });
    let Some((_, operation)) = operation else {
        return vec![StatusCode::METHOD_NOT_ALLOWED];
    };
    let responses = operation["responses"]
        .as_object()
        .expect("an operation has responses");
    responses
        .keys()
        .map(|status| status.parse().expect("responses are listed by status"))
        .collect()
}

fn json(reply: &Response<Vec<u8>>) -> Value {
    assert_eq!(text(reply, header::CONTENT_TYPE), "application/json");
    serde_json::from_slice(reply.body()).expect("the body is JSON")
}

fn text(reply: &Response<Vec<u8>>, name: header::HeaderName) -> &str {
    let value = reply.headers().get(&name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_else(|| panic!("{} without {name}", reply.status()))
}

struct TestRequest {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Result<Vec<u8>, BodyError>,
}

impl TestRequest {
    /// Returns `None` if the method is not valid in HTTP.
    fn new(call: &Call<'_>) -> Option<Self> {
        Some(Self {
            method: match call.verb {
                Verb::Get => Method::GET,
                Verb::Head => Method::HEAD,
                Verb::Post => Method::POST,
                Verb::Put => Method::PUT,
                Verb::Delete => Method::DELETE,
                Verb::Other(name) => name.parse().ok()?,
            },
            target: match call.target {
                Target::Service => "/".into(),
                Target::Items => "/items".into(),
                Target::Page { limit, after } => format!("/items?limit={limit}&after={after}"),
                Target::Query(query) => format!("/items?{query}"),
                Target::Item(id) => format!("/items/{id}"),
                Target::ItemNamed(id) => format!("/items/{id}"),
                Target::Live => "/health/live".into(),
                Target::Ready => "/health/ready".into(),
                Target::OpenApi => "/openapi.json".into(),
                Target::Other(target) => target.into(),
            },
            headers: call
                .headers
                .iter()
                .map(|header| match header {
                    Header::Json => ("content-type".into(), "application/json".into()),
                    Header::ContentType(value) => ("content-type".into(), (*value).into()),
                    Header::ContentLength(length) => ("content-length".into(), length.to_string()),
                    Header::Fault(fault) => (fault::HEADER.into(), (*fault).into()),
                    Header::Other(name, value) => (name.to_lowercase(), (*value).into()),
                })
                .collect(),
            body: match call.body {
                Body::Name(name) => {
                    Ok(serde_json::json!({ "name": name }).to_string().into_bytes())
                }
                Body::Bytes(bytes) => Ok(bytes.to_vec()),
                Body::Zeros(length) => Ok(vec![b'0'; length as usize % (1 << 17)]),
                Body::BrokenOff => Err(BodyError::Unreadable),
            },
        })
    }
}

impl Request for TestRequest {
    fn method(&self) -> &Method {
        &self.method
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    async fn read_body(self, limit: usize) -> Result<Vec<u8>, BodyError> {
        self.body.and_then(|body| match body.len() > limit {
            true => Err(BodyError::TooLarge),
            false => Ok(body),
        })
    }
}
