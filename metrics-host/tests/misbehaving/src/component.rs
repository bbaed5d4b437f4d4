//! One fault per path.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

mod sockets;
mod streams;

use bytes::Bytes;
use futures::StreamExt;
use spin_sdk::{
    http::{BoxBody, Error, FullBody, Request, Response, body::IncomingBodyExt, box_body},
    http_service,
    wasip3::http::types::ErrorCode,
};
use std::{hint::black_box, sync::Mutex, time::Duration};
use streams::sleep;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

#[http_service]
async fn handle(request: Request) -> Result<Response<BoxBody>, Error> {
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
        "/error" => Err(Error::ErrorCode(ErrorCode::InternalError(Some(
            "on purpose".into(),
        )))),
        "/read" => Ok(match request.into_body().bytes().await {
            Ok(content) => text(content.len().to_string()),
            Err(error) => with_status(400, text(format!("{error:?}"))),
        }),
        // The length of the body, which is read as it arrives.
        "/count" => {
            let mut content = request.into_body().stream();
            let mut length = 0;
            while let Some(part) = content.next().await {
                length += part.unwrap().len();
            }
            Ok(text(length.to_string()))
        }
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

fn described(request: &Request) -> String {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let headers: String = headers.collect();
    format!("{} {}\n{headers}", request.method(), request.uri())
}

fn text(content: String) -> Response<BoxBody> {
    Response::new(box_body(FullBody::new(Bytes::from(content))))
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
