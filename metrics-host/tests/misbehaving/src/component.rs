//! One fault per path.

use bytes::Bytes;
use futures::SinkExt;
use spin_sdk::{
    http::{BoxBody, Error, FullBody, Request, Response, body, box_body},
    http_service,
    wasip3::{self, http::types::ErrorCode},
};
use std::{
    hint::black_box,
    io,
    net::{TcpStream, ToSocketAddrs},
};

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
        "/cut" => Ok(cut_short()),
        "/connect" => Ok(text(outcome(TcpStream::connect(&query)))),
        "/resolve" => Ok(text(outcome(query.to_socket_addrs()))),
        "/environment" => Ok(text(std::env::var(&query).unwrap_or_default())),
        _ => Ok(text("fine".into())),
    }
}

fn text(content: String) -> Response<BoxBody> {
    Response::new(box_body(FullBody::new(Bytes::from(content))))
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

/// Starts a body too long for the host to buffer, and traps in the middle.
fn cut_short() -> Response<BoxBody> {
    let (mut sender, body) = body::stream::<Vec<u8>>();
    wasip3::spawn(async move {
        for _ in 0..64 {
            // Cannot fail: the host reads until the trap.
            _ = sender.send(vec![b'x'; 8 << 10]).await;
        }
        wasip3::clocks::monotonic_clock::wait_for(50_000_000).await;
        panic!("in the middle of a body");
    });
    Response::new(box_body(body))
}
