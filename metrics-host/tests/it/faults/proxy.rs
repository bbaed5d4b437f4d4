//! The proxy in front of applications that panic, stream, and are killed: nothing that a client reads is not counted.

use super::{Length, QUIET};
use crate::{
    client::{empty, request},
    scrape::Scrape,
    spin::Spin,
    stack::{self, Host, workspace},
    traffic::{Planned, Tally, drive, mixed, paced},
};
use std::time::Duration;
use testkit::{host::Launch, process::Signal};

/// The items service under a real Spin, behind a proxy.
fn spin_up() -> Launch {
    let launch = stack::proxied();
    let manifest = workspace("spin.toml");
    let state = launch.state_dir().with_file_name("spin");
    let logs = state.join("logs");
    let [manifest, state, logs] = [&manifest, &state, &logs].map(|path| path.to_str().unwrap());
    launch
        .args(&QUIET)
        .env("SPIN_VARIABLE_FAULT_INJECTION", "on")
        .application(&[
            "spin",
            "up",
            "--quiet",
            "--from",
            manifest,
            "--state-dir",
            state,
            "--log-dir",
            logs,
        ])
}

/// Returns request `index` of [`mixed`], with a panic in so many of a hundred.
fn with_panics<const OF_A_HUNDRED: usize>(index: usize) -> Planned {
    match (index * 37) % 100 < OF_A_HUNDRED {
        true => (empty(request("GET /").header("x-fault", "panic")), "/"),
        false => mixed(index),
    }
}

/// Compares what clients read with what the proxy counted. Answers that the application cut are counted, and not read.
async fn compare(host: &Host, tally: &Tally) -> Scrape {
    let scrape = Scrape::until(host.metrics(), "all requests", |scrape| {
        scrape.counted() >= tally.sent
    })
    .await;
    assert_eq!(scrape.total(), tally.sent);
    let cut = scrape.sum("app_component_failures_total", &[("reason", "truncation")]);
    assert_eq!(tally.unanswered() as f64, cut, "{:?}", tally.problem);
    if cut == 0.0 {
        assert_eq!(
            scrape.requests().by_method_and_status(),
            tally.counts.by_method_and_status()
        );
    }
    scrape
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_the_proxy_counts_every_answer_whatever_panics() {
    let Some(version) = Spin::version("the proxy in front of Spin") else {
        return;
    };
    let length = Length::chosen();
    let mut rates = Vec::new();
    for (panics, plan) in [
        (0, with_panics::<0> as fn(usize) -> Planned),
        (2, with_panics::<2>),
        (5, with_panics::<5>),
    ] {
        for connections in [16, 64] {
            let host = spin_up().start().await.unwrap();
            let tally = drive(host.api(), connections, length.requests / 2, plan).await;
            compare(&host, &tally).await;
            rates.push((panics, tally.rate()));
            length.report(&format!(
                "spin {version} behind the proxy, {panics} % panics over {connections} connections: {} requests, {} \
                 answered 500 and {} 502, all counted; {:.0}/s",
                tally.sent,
                tally.counts.with_status("500"),
                tally.counts.with_status("502"),
                tally.rate()
            ));
        }
    }
    let rate = |of| {
        let rates = rates.iter().filter(|(panics, _)| *panics == of);
        rates.map(|(_, rate)| rate).sum::<f64>()
    };
    length.report(&format!(
        "spin {version} behind the proxy, 5 % panics: {:.2} of the throughput without",
        rate(5) / rate(0)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_a_proxy_that_is_killed_keeps_what_it_counted() {
    let Some(version) = Spin::version("the proxy killed in front of Spin") else {
        return;
    };
    let length = Length::chosen();
    let mut all = Tally::default();
    let mut state = None;
    for _ in 0..length.kills {
        let mut launch = spin_up();
        if let Some(state) = &state {
            launch = launch.state(state);
        }
        let host = launch.start().await.unwrap();
        state = Some(host.state.clone());
        let load = paced(host.api(), length.rate, mixed).await;
        load.answered(u64::from(length.rate)).await.unwrap();
        host.kill();
        all.merge(load.finish().await.unwrap());
    }
    let host = spin_up().state(&state.unwrap()).start().await.unwrap();
    let counted = Scrape::of(host.metrics()).await.total();
    let (read, sent) = (all.answers, all.sent);
    assert!(
        read <= counted && counted <= sent,
        "read {read}, counted {counted}, sent {sent}"
    );
    length.report(&format!(
        "spin {version} behind the proxy, which is killed {} times: read {read} ≤ counted {counted} ≤ sent {sent}",
        length.kills
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_killed_is_counted_as_clients_saw_it() {
    let length = Length::chosen();
    let application = |address: &str| {
        stack::serve()
            .args(&QUIET)
            .args(&["--listen", address])
            .env("SPIN_VARIABLE_TELEMETRY", "inline")
    };
    let address = stack::free_address().to_string();
    let proxy = stack::proxy(address.parse().unwrap())
        .args(&QUIET)
        .start()
        .await
        .unwrap();
    let load = paced(proxy.api(), length.rate, mixed).await;
    for _ in 0..length.kills {
        let hosted = application(&address).start().await.unwrap();
        load.answered(u64::from(length.rate)).await.unwrap();
        hosted.kill();
        load.answered(u64::from(length.rate / 4)).await.unwrap();
    }
    let tally = load.stop().await.unwrap();
    compare(&proxy, &tally).await;
    assert!(tally.counts.with_status("502") > 0 && tally.counts.with_status("200") > 0);
    length.report(&format!(
        "behind the proxy, an application killed {} times: {} requests, {} answered 502, all counted",
        length.kills,
        tally.sent,
        tally.counts.with_status("502")
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_behind_the_proxy_are_counted_as_one_application() {
    // The shape of the Flask original: processes that share a port, whose own counters differ.
    const WORKERS: &str = r"
import http.server, os, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        length = int(self.headers.get('content-length', 0))
        self.rfile.read(length)
        status = 500 if self.headers.get('x-fault') else 200
        body = str(os.getpid()).encode()
        self.send_response(status)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)
    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET
    def log_message(self, *_):
        pass
class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    request_queue_size = 128
server = Server(('127.0.0.1', int(os.environ['PORT'])), Handler)
for _ in range(3):
    if os.fork() == 0:
        break
server.serve_forever()
";
    let length = Length::chosen();
    let launch = stack::proxied().args(&QUIET);
    let host = launch
        .application(&["python3", "-c", WORKERS])
        .start()
        .await
        .unwrap();
    let tally = drive(host.api(), 16, length.requests / 4, mixed).await;
    compare(&host, &tally).await;
    host.signal(Signal::TERM).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), host.end()).await;
    ended.unwrap().unwrap();
}
