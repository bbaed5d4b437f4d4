//! The gateway in front of components under a real Spin: the same answers as without it, and each counted once.

use super::{Application, run};
use crate::{
    raw::Raw,
    scrape::Scrape,
    spin::Spin,
    stack::{self, GATEWAY, Host, MISBEHAVING, SYNCHRONOUS},
};
use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use testkit::{
    counts::{Counts, Kind},
    host::require,
    wait::{Seen, Wait},
};

/// A Spin with the gateway, and the sidecar that it reports to.
struct Counted {
    spin: Spin,
    sidecar: Host,
    app: Application,
}

impl Counted {
    /// Starts both, with variables of the gateway added to its manifest; `None` where no Spin is installed.
    async fn start(args: &[&str], variables: &str) -> Option<Self> {
        let _version = Spin::version("the gateway component")?;
        let app = Application::new();
        fs::write(app.folder.path().join("routes"), ROUTES).unwrap();
        let gateway = built(GATEWAY);
        let all = [&["add", "--yes", "--gateway", &gateway], args].concat();
        let (code, _, said) = run(app.folder.path(), &all);
        assert_eq!(code, 0, "{said}");
        let manifest = app
            .text()
            .replace("triggers = ", &format!("{variables}\ntriggers = "));
        fs::write(&app.manifest, manifest).unwrap();
        let sidecar = stack::sidecar().start().await.unwrap();
        let address = sidecar.otlp().to_string();
        let spin = serve(
            &app.manifest,
            &[("SPIN_VARIABLE_METRICS_SIDECAR", &address)],
        )
        .await;
        Some(Self { spin, sidecar, app })
    }

    /// Waits until the misbehaving component has printed `line`.
    async fn printed(&self, line: &str) {
        let log = self.spin.log("misbehaving_stdout.txt");
        let wait = Wait::up_to(Duration::from_secs(20)).every(Duration::from_millis(20));
        let printed = wait.until(line, async || {
            let said = fs::read_to_string(&log)?;
            Ok(Seen::some(said.contains(line).then_some(()), said))
        });
        printed.await.unwrap();
    }

    /// Waits until `count` requests are counted.
    async fn counts(&self, count: u64) -> Scrape {
        let all = Scrape::until(self.sidecar.metrics(), "all requests", |scrape| {
            scrape.counted() >= count
        });
        all.await
    }
}

/// Returns the number of requests that a component is said to have answered.
pub(super) fn of_component(scrape: &Scrape, component: &str) -> f64 {
    let labels = [("application", "misbehaving"), ("component", component)];
    scrape.sum("app_requests_total", &labels)
}

pub(super) const ROUTES: &str = "GET /api/orders/{id}\nPOST /echo\n";

pub(super) fn built(component: &str) -> String {
    let path = require(component, "make test-components").unwrap();
    path.to_str().unwrap().to_owned()
}

async fn serve(manifest: &Path, variables: &[(&str, &str)]) -> Spin {
    for component in [MISBEHAVING, SYNCHRONOUS] {
        built(component);
    }
    let state = Arc::new(tempfile::tempdir().unwrap());
    Spin::serve(manifest, variables, &state).await
}

/// Sends a request, and returns all that came back but for the date.
pub(super) async fn answer(address: SocketAddr, request: &str) -> String {
    // Only the head's end: a chunked body ends alike.
    let end = "\r\nhost: shop\r\nconnection: close\r\n\r\n";
    let request = request.replacen("\r\n\r\n", end, 1);
    let answer = Raw::send(address, request).await.read().await;
    let lines = answer.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

/// Joins the chunks of a response, whose number is chance, and keeps what follows them.
fn joined(response: &str) -> String {
    let Some((head, mut rest)) = response.split_once("\r\n\r\n") else {
        return response.to_owned();
    };
    let mut joined = format!("{head}\r\n\r\n");
    if head.contains("transfer-encoding: chunked") {
        while let Some((size, after)) = rest.split_once("\r\n")
            && let Ok(size @ 1..) = usize::from_str_radix(size, 16)
            && let Some((chunk, after)) = after.split_at_checked(size)
        {
            joined += chunk;
            rest = after.strip_prefix("\r\n").unwrap_or(after);
        }
    }
    joined + rest
}

/// Sends one request of each kind to an application without and with the gateway, checks that the answers are the same,
/// and returns the requests as the gateway counts them.
pub(super) async fn compare_answers(without: SocketAddr, through: SocketAddr) -> Counts {
    let upload = format!("{:x}\r\n{}\r\n0\r\n\r\n", 200_000, "u".repeat(200_000));
    let trailing = "4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n";
    let mut expected = Counts::default();
    for (line, more, endpoint, status) in [
        ("GET /status?204", "", "/:misdeed", "204"),
        ("GET /status?304", "", "/:misdeed", "304"),
        ("GET /status?599", "", "/:misdeed", "599"),
        ("HEAD /long?5000", "", "/:misdeed", "200"),
        ("GET /long?300000", "", "/:misdeed", "200"),
        ("GET /parts?30", "", "/:misdeed", "200"),
        ("GET /events?10", "", "/:misdeed", "200"),
        ("POST /echo", "content-length: 4", "/echo", "200"),
        (
            "POST /echo",
            "te: trailers\r\ntransfer-encoding: chunked",
            "/echo",
            "200",
        ),
        ("POST /echo", "transfer-encoding: chunked", "/echo", "200"),
        (
            "POST /read",
            "transfer-encoding: chunked",
            "/:misdeed",
            "200",
        ),
        ("PURGE /second", "", "/:misdeed", "200"),
        ("GET /api/orders/7?a=b%20c", "", "/api/orders/{id}", "200"),
        ("GET /api//x", "", "/api/...", "200"),
        // Traps before, and in the middle of, a response; a body that is shorter than promised.
        ("GET /recurse", "", "/:misdeed", "500"),
        ("GET /error", "", "/:misdeed", "500"),
        ("GET /cut", "", "/:misdeed", "200"),
        ("GET /short?70000", "", "/:misdeed", "200"),
        // A component of WASI 0.2.
        ("GET /sync/a", "", "/sync/...", "200"),
        ("GET /sync/status?418", "", "/sync/...", "418"),
        ("GET /sync/events?10", "", "/sync/...", "200"),
        ("GET /sync/long?100000", "", "/sync/...", "200"),
        ("GET /sync/trap", "", "/sync/...", "200"),
        ("POST /sync/a", "content-length: 4", "/sync/...", "200"),
    ] {
        let body = match more {
            "content-length: 4" => "body",
            "" => "",
            "transfer-encoding: chunked" => &upload,
            _ => trailing,
        };
        let field = if more.is_empty() {
            String::new()
        } else {
            format!("\r\n{more}")
        };
        let request = format!("{line} HTTP/1.1{field}\r\n\r\n{body}");
        let bare = joined(&answer(without, &request).await);
        // `serve` collects a short body, so that a trap in it becomes a 500.
        let status = match bare.starts_with("HTTP/1.1 500 ") {
            true => "500",
            false => status,
        };
        assert!(bare.is_empty() || bare.contains(status), "{line}: {bare}");
        let answered = joined(&answer(through, &request).await);
        if line.contains("/cut") || line.contains("/short") {
            // How much arrives before a cut is chance.
            assert_eq!(answered.trim_end_matches('x'), bare.trim_end_matches('x'));
        } else if bare.starts_with("HTTP/1.1 500 ") {
            // The body of a failure is the host's.
            assert_eq!(answered.lines().next(), bare.lines().next(), "{line}");
        } else {
            let (lengths, start) = ((answered.len(), bare.len()), answered.get(..300));
            assert!(answered == bare, "{line}: {lengths:?}, {start:?}");
        }
        let method = line.split(' ').next().unwrap().replace("PURGE", "_OTHER");
        expected.add(Kind::new(&method, endpoint, status), 1);
    }
    expected
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_same_answers_and_each_is_counted() {
    let Some(counted) = Counted::start(&["--routes", "routes"], "").await else {
        return;
    };
    let app = Application::new();
    let without = serve(&app.manifest, &[]).await;
    let expected = compare_answers(without.api, counted.spin.api).await;
    // A request without a trigger never reaches the gateway.
    assert!(
        answer(counted.spin.api, "GET /a/b HTTP/1.1\r\n\r\n")
            .await
            .contains(" 404 ")
    );
    let scrape = counted.counts(expected.total()).await;
    assert_eq!(scrape.requests(), expected);
    assert_eq!(of_component(&scrape, "synchronous"), 6.0);
    assert_eq!(of_component(&scrape, "misbehaving"), 18.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_sees_the_same_request() {
    let Some(counted) = Counted::start(&[], "").await else {
        return;
    };
    let app = Application::new();
    let without = serve(&app.manifest, &[]).await;
    let request =
        "GET /request?a=%2F&b HTTP/1.1\r\nx-twice: 1\r\nx-twice: 2\r\ntelemetry-mine: 1\r\n\r\n";
    let seen = async |address| {
        let answer = answer(address, request).await;
        let lines = answer.lines().map(str::to_owned);
        let lines: Vec<_> = lines
            .filter(|line| {
                line.contains("http://")
                    || line.starts_with("x-")
                    || line.starts_with("spin-")
                    || line.starts_with("telemetry-")
            })
            .filter(|line| !line.starts_with("spin-client-addr: 127.0.0.1:"))
            .map(|line| line.replace(&without.api.to_string(), "shop"))
            .collect();
        lines
    };
    let (bare, through) = (seen(without.api).await, seen(counted.spin.api).await);
    // The authority is that of the private component, and Spin's own headers follow the original ones once more.
    assert_eq!(
        through[0],
        "GET http://misbehaving.spin.internal/request?a=%2F&b"
    );
    let mut first = Vec::new();
    for line in &through[1..] {
        let name = line.split(':').next().unwrap();
        let twice =
            name.starts_with("spin-") && first.iter().any(|other: &String| other.starts_with(name));
        if !twice && !line.contains("spin-client-addr: 0.0.0.0") {
            first.push(line.clone());
        }
    }
    let mut expected = bare[1..].to_vec();
    for lines in [&mut first, &mut expected] {
        lines.sort();
    }
    assert_eq!(first, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_name_neither_a_component_nor_ask_for_a_catalogue() {
    let Some(counted) = Counted::start(&[], "").await else {
        return;
    };
    let api = counted.spin.api;
    let spoofed = "GET /request HTTP/1.1\r\nspin-raw-component-route: /sync/...\r\n\r\n";
    assert!(
        answer(api, spoofed)
            .await
            .contains("GET http://misbehaving.spin.internal/request")
    );
    let question =
        "GET /api/.well-known/telemetry-vocabulary HTTP/1.1\r\ntelemetry-describe: routes\r\n\r\n";
    assert!(answer(api, question).await.ends_with("fine\r\n0\r\n\r\n"));
    // A component names its route in a header that is not for clients.
    let named = answer(api, "GET /named HTTP/1.1\r\n\r\n").await;
    assert!(
        named.contains("first ") && !named.contains("telemetry-"),
        "{named}"
    );
    let scrape = counted.counts(3).await;
    assert_eq!(of_component(&scrape, "misbehaving"), 3.0);
    let counts = scrape.requests();
    assert_eq!(counts.count(|kind| kind.endpoint == "/named/{route}"), 1);
    assert_eq!(counts.total(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_pass_both_ways_while_they_are_sent() {
    let Some(counted) = Counted::start(&[], "").await else {
        return;
    };
    let head =
        "POST /echo HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\r\n";
    let mut raw = Raw::send(counted.spin.api, head).await;
    raw.write("5\r\nfirst\r\n").await;
    raw.read_until("first").await;
    raw.write("6\r\nsecond\r\n0\r\n\r\n").await;
    raw.read_until("second\r\n0\r\n").await;
    // A client that leaves a stream is noticed by the component.
    let mut endless = Raw::request(counted.spin.api, "GET /endless?10").await;
    endless.read_until("tick").await;
    drop(endless);
    counted.printed("the client left").await;
    assert_eq!(counted.counts(2).await.counted(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_does_not_answer_in_time_is_a_504() {
    let Some(counted) = Counted::start(&[], "timeout = \"1\"").await else {
        return;
    };
    let late = answer(counted.spin.api, "GET /sleep?60000 HTTP/1.1\r\n\r\n").await;
    assert!(late.starts_with("HTTP/1.1 504 "), "{late}");
    // Once it has begun, a response may take longer.
    let slow = answer(counted.spin.api, "GET /parts?1500 HTTP/1.1\r\n\r\n").await;
    assert!(slow.contains("second"), "{slow}");
    let counts = counted.counts(2).await.requests();
    assert_eq!(counts.with_status("504"), 1);
    assert_eq!(counts.with_status("200"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_response_is_counted_once() {
    let Some(counted) = Counted::start(&[], "").await else {
        return;
    };
    let leaving = Raw::request(counted.spin.api, "GET /sleep?300").await;
    counted.printed("asleep").await;
    drop(leaving);
    let counts = counted.counts(1).await.requests();
    // Spin lets a component finish what it has begun.
    assert_eq!((counts.total(), counts.with_status("200")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_wait_while_the_sidecar_is_away() {
    let Some(counted) = Counted::start(&[], "").await else {
        return;
    };
    let (address, state) = (
        counted.sidecar.otlp().to_string(),
        counted.sidecar.state.clone(),
    );
    counted.sidecar.kill();
    let request = "GET /api/a HTTP/1.1\r\n\r\n";
    for _ in 0..30 {
        assert!(answer(counted.spin.api, request).await.contains("fine"));
    }
    let sidecar = stack::sidecar().otlp_listen(&address).state(&state);
    let sidecar = sidecar.start().await.unwrap();
    // The next request brings the outbox along, or finds the counts still in the instance.
    let mut sent = 30;
    let all = Wait::up_to(Duration::from_secs(30)).every(Duration::from_secs(1));
    let all = all.until("all requests", async || {
        answer(counted.spin.api, request).await;
        sent += 1;
        let scrape = Scrape::at_rest(sidecar.metrics()).await;
        Ok(Seen::some(
            (scrape.total() == sent).then_some(()),
            scrape.total().to_string(),
        ))
    });
    all.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_wrong_is_named_in_the_log() {
    let Some(counted) = Counted::start(&[], "timeout = \"soon\"").await else {
        return;
    };
    let reply = answer(counted.spin.api, "GET /api/a HTTP/1.1\r\n\r\n").await;
    assert!(
        reply.contains(" 500 ") && reply.contains("the gateway is misconfigured"),
        "{reply}"
    );
    let log = fs::read_to_string(counted.spin.log("metrics-gateway_stderr.txt")).unwrap();
    assert!(
        log.contains("variable \\\"timeout\\\" is \\\"soon\\\""),
        "{log}"
    );
    assert!(counted.app.text().contains("soon"));
}
