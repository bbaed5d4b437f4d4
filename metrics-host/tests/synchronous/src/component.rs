//! One kind of response per path. The number behind `?` is a parameter of most.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

use std::{
    io::{self, Read, Write},
    mem,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};
use wasip2::http::{
    outgoing_handler,
    types::{
        ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
        ResponseOutparam, Scheme,
    },
};

wasip2::http::proxy::export!(Component);

struct Component;

/// Requests that this instance has handled.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let requests = REQUESTS.fetch_add(1, Relaxed) + 1;
        let target = request.path_with_query().unwrap_or_default();
        let (path, number) = target.split_once('?').unwrap_or((&target, ""));
        let number = number.parse::<u64>().unwrap_or(0);
        match path.trim_start_matches("/sync") {
            "/instance" => Body::begin(out, &[]).end_with(&requests.to_string()),
            "/status" => {
                let response = OutgoingResponse::new(Fields::new());
                response.set_status_code(number as u16).unwrap();
                Body::of(response, out).end_with("a body");
            }
            // No response, or a late one.
            "/error" => {
                let error = ErrorCode::InternalError(Some("on purpose".into()));
                ResponseOutparam::set(out, Err(error));
            }
            "/never" => {}
            "/forgotten" => {
                drop(out);
                sleep(number);
            }
            "/late" => {
                sleep(number);
                let body = Body::begin(out, &[]);
                // The host sees here if the client has left. It must take the body all the same.
                sleep(5);
                body.end_with("late");
            }
            // Bodies that take their time.
            "/events" => events(Body::begin(out, &[EVENTS]), number, 6),
            "/endless" => events(Body::begin(out, &[EVENTS]), number, u32::MAX),
            "/parts" => {
                let mut body = Body::begin(out, &[]);
                body.send("first ").unwrap();
                sleep(number);
                body.send("second ").unwrap();
                sleep(number);
                body.end_with("third");
            }
            "/long" => {
                let mut body = Body::begin(out, &[]);
                match body.fill(number) {
                    Ok(()) => body.end(),
                    Err(_) => println!("the client left"),
                }
            }
            "/echo" => {
                let mut body = Body::begin(out, &[]);
                let content = request.consume().unwrap();
                let mut content = content.stream().unwrap();
                let mut part = vec![0; 16 << 10];
                while let Ok(length @ 1..) = Read::read(&mut content, &mut part) {
                    body.stream.write_all(&part[..length]).unwrap();
                }
                body.end();
            }
            "/fetch" => {
                let url = target.split_once('?').map_or("", |(_, url)| url);
                Body::begin(out, &[]).end_with(&fetched(url));
            }
            // The length of the body, which is read as it arrives.
            "/count" => {
                let content = request.consume().unwrap();
                let mut content = content.stream().unwrap();
                let length = io::copy(&mut content, &mut io::sink()).unwrap();
                Body::begin(out, &[]).end_with(&length.to_string());
            }
            "/after" => {
                Body::begin(out, &[]).end_with("done");
                sleep(number);
                println!("after the response");
            }
            // Bodies that are not completed.
            "/trap" => {
                let mut body = Body::begin(out, &[]);
                body.fill(number).unwrap();
                panic!("in the middle of a body");
            }
            "/unfinished" => {
                let mut body = Body::begin(out, &[]);
                body.fill(number).unwrap();
            }
            "/short" => {
                let length = (number + 1).to_string();
                let mut body = Body::begin(out, &[("content-length", &length)]);
                body.fill(number).unwrap();
                drop(body.stream);
                _ = OutgoingBody::finish(body.body, None);
            }
            "/leaked" => {
                let mut body = Body::begin(out, &[]);
                body.fill(number).unwrap();
                mem::forget(body);
            }
            _ => Body::begin(out, &[]).end_with("a body"),
        }
    }
}

/// Sends a GET and returns the status and the body of the response, or the error.
fn fetched(url: &str) -> String {
    let request = OutgoingRequest::new(Fields::new());
    let path = match url.strip_prefix("http://") {
        Some(rest) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            request.set_scheme(Some(&Scheme::Http)).unwrap();
            request.set_authority(Some(host)).unwrap();
            format!("/{path}")
        }
        None => url.to_owned(),
    };
    request.set_path_with_query(Some(&path)).unwrap();
    let response = match outgoing_handler::handle(request, None) {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    response.subscribe().block();
    let response = match response.get().unwrap().unwrap() {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    let mut content = String::new();
    let body = response.consume().unwrap();
    let mut stream = body.stream().unwrap();
    Read::read_to_string(&mut stream, &mut content).unwrap();
    format!("{} {content}", response.status())
}

const EVENTS: (&str, &str) = ("content-type", "text/event-stream");

/// The body of a response whose head is set. The stream comes first: it has to be dropped first.
struct Body {
    stream: wasip2::io::streams::OutputStream,
    body: OutgoingBody,
}

impl Body {
    fn begin(out: ResponseOutparam, headers: &[(&str, &str)]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields.set(name, &[value.as_bytes().to_vec()]).unwrap();
        }
        Self::of(OutgoingResponse::new(fields), out)
    }

    fn of(response: OutgoingResponse, out: ResponseOutparam) -> Self {
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().unwrap();
        Self { stream, body }
    }

    /// Writes a text and flushes it.
    fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        Write::flush(&mut self.stream)
    }

    /// Writes so many bytes.
    fn fill(&mut self, mut length: u64) -> io::Result<()> {
        const PART: [u8; 1 << 10] = [b'x'; 1 << 10];
        while length > 0 {
            let part = length.min(PART.len() as u64);
            self.stream.write_all(&PART[..part as usize])?;
            length -= part;
        }
        Ok(())
    }

    fn end_with(mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.end();
    }

    fn end(self) {
        drop(self.stream);
        OutgoingBody::finish(self.body, None).unwrap();
    }
}

/// Sends `count` events, with a pause of so many milliseconds after each.
fn events(mut body: Body, pause: u64, count: u32) {
    for event in 1..=count {
        if body.send(&format!("data: {event}\n\n")).is_err() {
            println!("the client left");
            return;
        }
        sleep(pause);
    }
    body.end();
}

fn sleep(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}
