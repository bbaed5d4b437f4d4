//! Bodies that are long, slow, endless or cut short.

use futures::{SinkExt, channel::mpsc};
use spin_sdk::{
    http::{BoxBody, Response, body, box_body},
    wasip3::{self, clocks::monotonic_clock},
};
use std::time::Duration;

const CHUNK: usize = 8 << 10;

/// Returns the stream at `path`, if there is one. `number` is a parameter of some.
pub(super) fn response(path: &str, number: &str) -> Option<Response<BoxBody>> {
    let number = number.parse().unwrap_or(0);
    Some(match path {
        // A body too long for the host to collect, with a trap in the middle.
        "/cut" => stream(&[], async |mut body| {
            body.write(64 * CHUNK).await;
            sleep(Duration::from_millis(50)).await;
            panic!("in the middle of a body");
        }),
        // So many bytes, as fast as the client reads them.
        "/long" => stream(&[], async move |mut body| body.write(number).await),
        // Six events, with pauses of so many milliseconds.
        "/events" => stream(&[EVENTS], async move |mut body| {
            for event in 1..=6 {
                body.send(&format!("data: {event}\n\n")).await;
                sleep(Duration::from_millis(number as u64)).await;
            }
        }),
        // An endless stream, which says so when its client leaves.
        "/endless" => stream(&[EVENTS], async move |mut body| {
            while body.send("data: tick\n\n").await {
                sleep(Duration::from_millis(number as u64)).await;
            }
            println!("the client left");
        }),
        // A stream that says nothing, for ever.
        "/silent" => stream(&[("x-accel-buffering", "no")], async |_body| {
            sleep(Duration::MAX).await;
        }),
        // A body in two parts, with a pause of so many milliseconds.
        "/parts" => stream(&[], async move |mut body| {
            body.send("first ").await;
            sleep(Duration::from_millis(number as u64)).await;
            body.send("second").await;
        }),
        // A body that promises more bytes than it has.
        "/short" => {
            let length = (number + 1).to_string();
            let headers = [("content-length", &*length)];
            stream(&headers, async move |mut body| body.write(number).await)
        }
        // A head with a route, and a trap before the end of the body.
        "/named" => {
            let headers = [("telemetry-route", "/named/{route}")];
            stream(&headers, async |mut body| {
                body.send("first ").await;
                sleep(Duration::from_millis(10)).await;
                panic!("after the head");
            })
        }
        _ => return None,
    })
}

/// Returns a body of two parts that nobody knows the length of.
pub(super) fn of(first: String, second: &'static str) -> Response<BoxBody> {
    stream(&[], async move |mut body| {
        body.send(&first).await;
        body.send(second).await;
    })
}

const EVENTS: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");

struct Body(mpsc::Sender<Vec<u8>>);

impl Body {
    async fn send(&mut self, text: &str) -> bool {
        self.0.send(text.as_bytes().to_vec()).await.is_ok()
    }

    async fn write(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let chunk = bytes.min(CHUNK);
            // Fails if the client left.
            if self.0.send(vec![b'x'; chunk]).await.is_err() {
                return;
            }
            bytes -= chunk;
        }
    }
}

fn stream(headers: &[(&str, &str)], write: impl AsyncFnOnce(Body) + 'static) -> Response<BoxBody> {
    let (sender, body) = body::stream::<Vec<u8>>();
    wasip3::spawn(async move { write(Body(sender)).await });
    let mut response = Response::builder();
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(box_body(body)).unwrap()
}

pub(super) async fn sleep(time: Duration) {
    monotonic_clock::wait_for(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).await;
}
