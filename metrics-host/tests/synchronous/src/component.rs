//! One kind of body per path.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

use std::{io::Write, thread, time::Duration};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasip2::http::proxy::export!(Component);

struct Component;

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, number) = target.split_once('?').unwrap_or((&target, ""));
        let number = number.parse::<usize>().unwrap_or(0);
        let headers = Fields::new();
        if path == "/sync/events" {
            let value = b"text/event-stream".to_vec();
            headers.set("content-type", &[value]).unwrap();
        }
        let response = OutgoingResponse::new(headers);
        if path == "/sync/status" {
            response.set_status_code(number as u16).unwrap();
        }
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));

        let mut stream = body.write().unwrap();
        match path {
            "/sync/events" => {
                for event in 1..=6 {
                    // Fails if the client left.
                    let event = stream.write_all(format!("data: {event}\n\n").as_bytes());
                    if event.and_then(|()| Write::flush(&mut stream)).is_err() {
                        println!("the client left");
                        return;
                    }
                    thread::sleep(Duration::from_millis(number as u64));
                }
            }
            "/sync/long" => {
                for _ in 0..number >> 10 {
                    stream.write_all(&[b'x'; 1 << 10]).unwrap();
                }
            }
            "/sync/trap" => {
                stream.write_all(b"first ").unwrap();
                panic!("in the middle of a body");
            }
            _ => stream.write_all(b"a body").unwrap(),
        }
        drop(stream);
        OutgoingBody::finish(body, None).unwrap();
    }
}
