//! Answers the requests, and has them counted by the way that the variable `counting` names.

mod otel;
mod pushgateway;
mod statsd;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use spin_sdk::{
    http::{Error, FullBody, Request, Response, body::IncomingBodyExt as _, send},
    http_service, variables, wasip3,
};
use std::{
    cell::Cell,
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{LazyLock, OnceLock},
};

/// Identifies this instance.
static INSTANCE: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", RandomState::new().build_hasher().finish()));

/// Counts and reports the requests of this instance.
trait Counter {
    /// Counts a request.
    fn add(&self, status: StatusCode);
    /// Returns the request that reports all counts so far, for a protocol over HTTP.
    fn report(&self) -> Option<http::Request<FullBody<Bytes>>>;
}

thread_local! {
    static IS_REPORTING: Cell<bool> = const { Cell::new(false) };
    static IS_CURRENT: Cell<bool> = const { Cell::new(true) };
}

#[http_service]
async fn handle(request: Request) -> Result<Response<FullBody<Bytes>>, Error> {
    let [counting, application, receiver] = settings().await;
    let status = answer(request).await;
    if counting != "off" {
        wasip3::spawn(count(counting, application, receiver, status));
    }
    let body = FullBody::new(Bytes::from_static(b"{\"service\":\"items\"}"));
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(body).expect("a valid response"))
}

/// Returns the variables, which do not change during an instance's life.
async fn settings() -> &'static [String; 3] {
    static SETTINGS: OnceLock<[String; 3]> = OnceLock::new();
    if let Some(known) = SETTINGS.get() {
        return known;
    }
    let mut settings = [const { String::new() }; 3];
    for (setting, name) in settings
        .iter_mut()
        .zip(["counting", "application", "receiver"])
    {
        *setting = variables::get(name).await.expect("declared in spin.toml");
    }
    SETTINGS.get_or_init(|| settings)
}

async fn answer(request: Request) -> StatusCode {
    let fault = request.headers().get("x-fault");
    match fault.map(http::HeaderValue::as_bytes) {
        Some(b"panic") => panic!("asked to"),
        Some(_) => return StatusCode::INTERNAL_SERVER_ERROR,
        None => {}
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/" | "/items") => StatusCode::OK,
        (&Method::POST, "/items") => match request.into_body().bytes().await {
            Ok(body) if body.as_ref() != br#"{"name":""}"# => StatusCode::CREATED,
            _ => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::NOT_FOUND,
    }
}

/// Counts a request, and reports once the reports before are through. A report that fails is not repeated: the next one
/// has its counts, as these are totals.
async fn count(counting: &str, application: &str, receiver: &str, status: StatusCode) {
    let counter: &dyn Counter = match counting {
        "pushgateway" => pushgateway::Pushed::of(application, receiver),
        "statsd" => statsd::Sent::of(application, receiver),
        "otel" => otel::Exported::of(application, receiver),
        other => panic!("counting is {other:?}"),
    };
    counter.add(status);
    IS_CURRENT.set(false);
    if IS_REPORTING.replace(true) {
        return;
    }
    while !IS_CURRENT.replace(true) {
        if let Some(report) = counter.report()
            && let Ok(reply) = send(report).await
        {
            _ = reply.into_body().bytes().await;
        }
    }
    IS_REPORTING.set(false);
}
