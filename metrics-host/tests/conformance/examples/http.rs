//! A request to a server that the request names: its response becomes the answer.

#![cfg(target_arch = "wasm32")]

use conformance_component::{end_with, finish, header};
use std::io::Write;
use wasip2::http::{
    outgoing_handler,
    types::{
        ErrorCode, Fields, IncomingRequest, IncomingResponse, Method, OutgoingBody,
        OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
    },
};

struct Case;

wasip2::http::proxy::export!(Case);

impl wasip2::exports::http::incoming_handler::Guest for Case {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let authority = match header(&request, "authority") {
            Ok(authority) => authority,
            Err(failure) => return finish(out, Err(failure)),
        };
        match exchange(&authority) {
            Ok(response) => relay(&response, out),
            Err(error) => finish(out, Err(format!("{error:?}").into())),
        }
    }
}

fn exchange(authority: &str) -> Result<IncomingResponse, ErrorCode> {
    let fields = Fields::new();
    fields
        .set("content-length", &[b"5".to_vec()])
        .expect("a valid header");
    let request = OutgoingRequest::new(fields);
    request.set_method(&Method::Post).expect("a valid method");
    request
        .set_scheme(Some(&Scheme::Http))
        .expect("a valid scheme");
    request
        .set_authority(Some(authority))
        .expect("a valid authority");
    request
        .set_path_with_query(Some("/"))
        .expect("a valid path");
    let body = request.body().expect("taken once");
    end_with(body, b"hello");
    let response = outgoing_handler::handle(request, None)?;
    loop {
        match response.get() {
            Some(response) => return response.expect("taken once"),
            None => response.subscribe().block(),
        }
    }
}

/// Sends the body on as it arrives.
fn relay(from: &IncomingResponse, out: ResponseOutparam) {
    let body = from.consume().expect("taken once");
    let content = body.stream().expect("taken once");
    let to = OutgoingResponse::new(from.headers());
    to.set_status_code(from.status()).expect("a valid status");
    let copy = to.body().expect("taken once");
    ResponseOutparam::set(out, Ok(to));
    let mut stream = copy.write().expect("taken once");
    while let Ok(part) = content.blocking_read(1024) {
        stream.write_all(&part).expect("the body is read");
    }
    stream.flush().expect("the body is read");
    drop(stream);
    OutgoingBody::finish(copy, None).expect("the body is whole");
}
