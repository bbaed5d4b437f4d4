//! One fault per path.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

mod sockets;
mod streams;

use buffered_http::Body as RequestBody;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyDataStream, BodyExt};
use spin_sdk::{
    http::{BoxBody, FullBody, box_body},
    wasip3::http::types::ErrorCode,
};
use std::{
    hint::black_box,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use streams::sleep;

static RUNS: AtomicUsize = AtomicUsize::new(0);
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

buffered_http::export!(handle);

async fn handle(request: Request<RequestBody>) -> Result<Response<BoxBody>, ErrorCode> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    match request.uri().path().trim_start_matches("/second") {
        "/compute" => loop {
            black_box(0);
        },
        "/allocate" => {
            let mut blocks = Vec::new();
            loop {
                blocks.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        "/recurse" => Ok(text(recurse(1).to_string())),
        "/error" => Err(ErrorCode::InternalError(Some("on purpose".into()))),
        "/read" => Ok(match request.into_body().collect().await {
            Ok(content) => text(content.to_bytes().len().to_string()),
            Err(error) => with_status(400, text(format!("{error:?}"))),
        }),
        // The length of the body, which is read as it arrives.
        "/count" => {
            let mut content = BodyDataStream::new(request.into_body());
            let mut length = 0;
            while let Some(part) = content.next().await {
                length += part.unwrap().len();
            }
            Ok(text(length.to_string()))
        }
        // How the request came, and the length of its body.
        "/way" => {
            let body = request.into_body();
            // The length of a stream is not known.
            let way = match body.size_hint().exact() {
                Some(_) => "by value",
                None => "by wasi:http",
            };
            let length = body.collect().await.unwrap().to_bytes().len();
            Ok(text(format!("{length} bytes {way}")))
        }
        // How often this instance was asked, as a stream.
        "/runs" => {
            let run = RUNS.fetch_add(1, Relaxed) + 1;
            Ok(streams::of(format!("run {run}, "), "in parts"))
        }
        // A whole body, with a length of so many bytes.
        "/length" => Ok(with_header("content-length", &query)),
        // A header that no component may set.
        "/forbidden" => Ok(with_header("connection", "close")),
        // The request as it arrived.
        "/request" => Ok(text(described(&request))),
        // The same body, as it arrives, with its trailers.
        "/echo" => Ok(Response::new(box_body(request.into_body()))),
        // The request goes on to the address in the query, and its response comes back.
        "/fetch" => {
            let mut request = request;
            *request.uri_mut() = query.parse().unwrap();
            request.headers_mut().clear();
            match spin_sdk::http::send(request).await {
                Ok(response) => Ok(response.map(box_body)),
                Err(error) => Ok(with_status(502, text(format!("{error:?}")))),
            }
        }
        "/loop" => {
            let response = spin_sdk::http::get("http://front.spin.internal/loop").await;
            Ok(text(response.map_or_else(
                |error| format!("{error:?}"),
                |response| response.status().to_string(),
            )))
        }
        "/sleep" => {
            println!("asleep");
            sleep(Duration::from_millis(query.parse().unwrap())).await;
            Ok(text("awake".into()))
        }
        // Work for the processor, in millions of steps.
        "/work" => {
            for _ in 0..query.parse::<u64>().unwrap() * 1_000_000 {
                black_box(0);
            }
            Ok(text("done".into()))
        }
        // So many MiB, which the instance keeps.
        "/keep" => {
            let memory = vec![1; query.parse::<usize>().unwrap() << 20];
            KEPT.lock().unwrap().push(memory);
            Ok(text("kept".into()))
        }
        "/ignore" => {
            sleep(Duration::from_secs(1)).await;
            Ok(text("ignored".into()))
        }
        "/status" => Ok(with_status(
            query.parse().unwrap_or_default(),
            text("a body".into()),
        )),
        path if let Some(response) = streams::response(path, &query) => Ok(response),
        path if let Some(outcome) = sockets::outcome(path, &query).await => Ok(text(outcome)),
        "/environment" => Ok(text(std::env::var(&query).unwrap_or_default())),
        _ => Ok(text("fine".into())),
    }
}

fn described(request: &Request<RequestBody>) -> String {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let headers: String = headers.collect();
    format!("{} {}\n{headers}", request.method(), request.uri())
}

fn text(content: String) -> Response<BoxBody> {
    Response::new(box_body(FullBody::new(Bytes::from(content))))
}

fn with_header(name: &'static str, value: &str) -> Response<BoxBody> {
    let mut response = text("a body".into());
    let value = value.parse().unwrap();
    response.headers_mut().insert(name, value);
    response
}

fn with_status(status: u16, mut response: Response<BoxBody>) -> Response<BoxBody> {
    *response.status_mut() = status.try_into().unwrap();
    response
}

fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let frame = black_box([depth; 64]);
    recurse(frame[63] + 1) + frame[0]
}
