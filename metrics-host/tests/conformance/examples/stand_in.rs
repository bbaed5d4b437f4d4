//! In the place of two components that Spin's templates download: one redirects, one serves files.

#![cfg(target_arch = "wasm32")]

use conformance_component::{end_with, header};
use std::{env, fs};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

struct StandIn;

wasip2::http::proxy::export!(StandIn);

impl wasip2::exports::http::incoming_handler::Guest for StandIn {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let fields = Fields::new();
        let (status, content) = match env::var("DESTINATION") {
            Ok(destination) => {
                let location = [destination.into_bytes()];
                fields.set("location", &location).expect("a valid header");
                (302, Vec::new())
            }
            Err(_) => {
                let path = header(&request, "spin-path-info").unwrap_or_default();
                match fs::read(path) {
                    Ok(content) => (200, content),
                    Err(error) => (404, error.to_string().into_bytes()),
                }
            }
        };
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("a valid status");
        let body = response.body().expect("taken once");
        ResponseOutparam::set(out, Ok(response));
        end_with(body, &content);
    }
}
