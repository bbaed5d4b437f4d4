use super::*;
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// Serves connections, each in a thread; `answer` gets the number of the request. Ends with the test.
fn serve(answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new((AtomicUsize::new(0), answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut request = [0; REQUEST.len()];
                while stream.read_exact(&mut request).is_ok() {
                    let text = (shared.1)(shared.0.fetch_add(1, SeqCst));
                    stream.write_all(text.as_bytes()).unwrap();
                    if text.contains("close") {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn generate(address: SocketAddr, connections: usize, pace: Pace) -> Result<Outcome> {
    let plan = Plan {
        address,
        connections,
        pace,
        time: Duration::from_millis(200),
        quick_ack: false,
    };
    let request = Request {
        bytes: REQUEST.into(),
        status: 200,
    };
    run(&plan, &[request])
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_fixed_rate_sends_what_is_due_and_no_more() {
    let outcome = generate(serve(|_| OK), 4, Pace::PerSecond(1000.0)).unwrap();
    assert_eq!(outcome.answers, 200);
}

#[test]
fn saturation_sends_until_its_end_over_connections_that_end_with_each_answer() {
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let outcome = generate(serve(move |_| closing), 4, Pace::Saturate).unwrap();
    assert!(outcome.answers > 4, "{}", outcome.answers);
    assert!(outcome.elapsed >= Duration::from_millis(200));
}

#[test]
fn one_stall_is_seen_by_every_request_that_was_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(100);
    let address = serve(|number| {
        if number == 50 {
            thread::sleep(STALL);
        }
        OK
    });
    let outcome = generate(address, 1, Pace::PerSecond(1000.0)).unwrap();
    assert_eq!(outcome.answers, 200);
    // Due over 100 ms of 200: half of all waited, a quarter of all for more than half of the stall.
    let [upper_quartile] = outcome.latencies.quantiles_millis([0.76]);
    assert!(upper_quartile > 40.0, "{upper_quartile} ms");
}

#[test]
fn another_status_is_no_answer_that_counts() {
    let failing = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    let every_other = move |number| if number % 2 == 0 { OK } else { failing };
    let outcome = generate(serve(every_other), 1, Pace::PerSecond(1000.0)).unwrap();
    assert_eq!((outcome.answers, outcome.unexpected), (100, 100));
}
