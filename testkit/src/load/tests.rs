use super::*;
use crate::{
    counts::Counts,
    http::{empty, json, request},
};
use ::http::StatusCode;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

const TIME: Duration = Duration::from_millis(200);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// Serves connections, each in a thread; `answer` gets the number of the request, and closes with an empty answer.
fn serve(answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new((AtomicUsize::new(0), answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut request = [0; 1024];
                while let Ok(1..) = stream.read(&mut request) {
                    let text = (shared.1)(shared.0.fetch_add(1, SeqCst));
                    _ = stream.write_all(text.as_bytes());
                    if text.is_empty() || text.contains("close") {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn load(address: SocketAddr) -> Load {
    let get = Planned::new(&empty(request("GET /")), "/").expecting(StatusCode::OK);
    Load::new(address, move |_| get.clone())
}

#[tokio::test]
async fn a_fixed_rate_sends_what_is_due_and_no_more() {
    let load = load(serve(|_| OK)).connections(4).rate(1000.0).time(TIME);
    let tally = load.run().await.unwrap();
    assert_eq!((tally.sent, tally.answers), (200, 200));
    assert_eq!(tally.counts, Counts::from([("GET", "/", "200", 200)]));
    assert!(tally.rate() > 900.0, "{}", tally.rate());
}

#[tokio::test]
async fn a_closed_loop_goes_on_over_connections_that_end_with_each_answer() {
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let load = load(serve(move |_| closing)).connections(4).time(TIME);
    let tally = load.run().await.unwrap().complete().unwrap();
    assert!(tally.answers > 4, "{}", tally.answers);
    assert!(
        tally.elapsed >= TIME - Duration::from_millis(50),
        "{:?}",
        tally.elapsed
    );
}

#[tokio::test]
async fn one_stall_is_seen_by_every_request_that_was_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(100);
    let address = serve(|number| {
        if number == 50 {
            thread::sleep(STALL);
        }
        OK
    });
    let tally = load(address).rate(1000.0).time(TIME).run().await.unwrap();
    assert_eq!(tally.answers, 200);
    // Due over 100 ms of 200: half of all waited, a quarter of all for more than half of the stall.
    let upper_quartile = tally.quantile(0.76);
    assert!(
        upper_quartile > Duration::from_millis(40),
        "{upper_quartile:?}"
    );
}

#[tokio::test]
async fn another_status_than_expected_is_told_apart() {
    let every_other = |number| if number % 2 == 0 { OK } else { FAILED };
    let load = load(serve(every_other)).count(100);
    let tally = load.run().await.unwrap();
    assert_eq!((tally.answers, tally.unexpected), (100, 50));
    let problem = tally.problem.unwrap();
    assert_eq!(problem, "GET / answered 500 Internal Server Error: ");
}

#[tokio::test]
async fn every_answer_is_checked_with_its_body() {
    let plan = |index| match index % 2 {
        0 => (empty(request("HEAD /a")), "/a"),
        _ => (json("POST /b", "{}"), "/b"),
    };
    // An answer to HEAD has no body, whatever its length says.
    let address = serve(|number| {
        if number % 2 == 0 {
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
        } else {
            OK
        }
    });
    let load = Load::new(address, plan).count(10);
    let tally = load.check(|planned, answer| planned.endpoint() == "/b" && &*answer.body == b"ok");
    let tally = tally.run().await.unwrap();
    assert_eq!(tally.unexpected, 5);
    let counts = Counts::from([("HEAD", "/a", "200", 5), ("POST", "/b", "200", 5)]);
    assert_eq!(tally.counts, counts);
}

#[tokio::test]
async fn a_request_without_an_answer_is_neither_repeated_nor_counted() {
    let address = serve(|number| if number == 3 { "" } else { OK });
    let tally = load(address).count(10).run().await.unwrap();
    assert_eq!((tally.sent, tally.answers, tally.unanswered()), (10, 9, 1));
    let error = tally.complete().unwrap_err().to_string();
    assert!(
        error.starts_with("1 of 10 requests were not answered: 127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_is_known_by_its_head() {
    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\no";
    let address = serve(move |number| if number == 3 { cut } else { OK });
    let tally = load(address).count(10).run().await.unwrap();
    assert_eq!((tally.sent, tally.answers), (10, 9));
    assert_eq!(tally.cut, Counts::from([("GET", "/", "200", 1)]));
    assert_eq!(tally.begun(), Counts::from([("GET", "/", "200", 10)]));
}

#[tokio::test]
async fn a_load_goes_on_until_it_is_stopped() {
    let running = load(serve(|_| OK)).rate(500.0).start().await.unwrap();
    running.answered(20).await.unwrap();
    let so_far = running.so_far().answers;
    let tally = running.stop().await.unwrap().complete().unwrap();
    assert!(so_far >= 20 && tally.answers >= so_far);
    let mut twice = tally.clone();
    twice.merge(tally.clone());
    assert_eq!(twice.answers, 2 * tally.answers);
    assert_eq!(twice.latencies.len(), 2 * tally.latencies.len());
}

#[tokio::test]
async fn a_load_ends_when_its_server_goes_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = load(address).connections(3).start().await.unwrap();
    drop(listener);
    let tally = running.finish().await.unwrap();
    assert_eq!(tally.answers, 0);
    assert!(tally.problem.is_some());
}
