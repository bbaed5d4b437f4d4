//! One fault per path.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

mod streams;

use bytes::Bytes;
use spin_sdk::{
    http::{BoxBody, Error, FullBody, Request, Response, body::IncomingBodyExt, box_body},
    http_service,
    wasip3::http::types::ErrorCode,
};
use std::{
    hint::black_box,
    io,
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};
use streams::sleep;

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
        "/ignore" => {
            sleep(Duration::from_secs(1)).await;
            Ok(text("ignored".into()))
        }
        "/status" => Ok(with_status(
            query.parse().unwrap_or_default(),
            text("a body".into()),
        )),
        path if let Some(response) = streams::response(path, &query) => Ok(response),
        "/connect" => Ok(text(outcome(TcpStream::connect(&query)))),
        "/resolve" => Ok(text(outcome(query.to_socket_addrs()))),
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

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "allowed".into(),
        Err(error) => format!("refused: {error}"),
    }
}

fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let frame = black_box([depth; 64]);
    recurse(frame[63] + 1) + frame[0]
}
