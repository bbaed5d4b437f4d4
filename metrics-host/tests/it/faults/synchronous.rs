//! Components of WASI 0.2 that trap in one request in twenty, also in the middle of a body, while clients leave.

use super::{Length, QUIET};
use crate::{
    client::{empty, request, with_body},
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host, Launch},
    traffic::{Planned, drive},
};
use futures::future::join_all;
use testkit::counts::Kind;

/// Clients that leave at one time.
const AT_ONCE: usize = 20;

/// An application and its traffic.
struct Case {
    name: &'static str,
    requests: usize,
    /// A mix of bodies, with a trap in requests 7 and 27 of 40; the second is in the middle of a body.
    plan: fn(usize) -> Planned,
    route: &'static str,
    /// The target of a client that leaves before the head.
    late: &'static str,
    /// The target of a client that leaves in the body, and the text that it reads before.
    endless: (&'static str, &'static str),
}

fn synchronous(index: usize) -> Planned {
    let request = match index % 40 {
        7 => empty(request("GET /sync/trap?10")),
        27 => empty(request("GET /sync/trap?100000")),
        0..3 => empty(request("GET /sync/events?1")),
        3..5 => empty(request("GET /sync/parts?30")),
        5..7 => empty(request("GET /sync/long?300000")),
        8..10 => empty(request("HEAD /sync/long?10")),
        10..14 => with_body(request("POST /sync/echo"), "a body".repeat(index % 3000)),
        14..16 => empty(request("DELETE /sync/status?404")),
        16 => empty(request("GET /sync/error")),
        17 => empty(request("GET /sync/never")),
        18..20 => empty(request("GET /sync/after?2")),
        20 => empty(request("GET /sync/leaked?100000")),
        _ => empty(request("GET /sync/instance")),
    };
    (request, "/sync/...")
}

fn javascript(index: usize) -> Planned {
    let request = match index % 40 {
        7 => empty(request("GET /trap")),
        27 => empty(request("GET /cut/2000")),
        0..3 => empty(request("GET /lines/6/1")),
        3..5 => empty(request("GET /lines/1000/0")),
        8..10 => empty(request("HEAD /instance")),
        10..14 => with_body(request("POST /echo"), "a body".repeat(index % 3000)),
        14..16 => empty(request("DELETE /nowhere")),
        16 => empty(request("GET /throw")),
        18 => empty(request("GET /late/5")),
        _ => empty(request("GET /instance")),
    };
    (request, "/...")
}

/// Sends requests whose clients leave: half of them before the head, half of them in the middle of the body.
async fn leave(host: &Host, case: &Case) {
    let clients = (0..AT_ONCE).map(async |client| match client % 2 {
        0 => {
            let head = format!("PUT {} HTTP/1.1\r\nhost: a\r\n\r\n", case.late);
            Raw::send(host.api(), head).await;
        }
        _ => {
            let (target, first) = case.endless;
            let mut client = Raw::request(host.api(), &format!("PATCH {target}")).await;
            client.read_until(first).await;
        }
    });
    join_all(clients).await;
}

async fn each_is_counted_as_its_client_saw_it(length: Length, launch: Launch, case: Case) {
    let host = launch.args(&QUIET).start().await.unwrap();
    let load = drive(host.api(), 64, case.requests, case.plan);
    let leaving = async {
        for _ in 0..length.kills {
            leave(&host, &case).await;
        }
    };
    let (tally, ()) = tokio::join!(load, leaving);
    let left = (length.kills * AT_ONCE / 2) as u64;
    let all = tally.sent + 2 * left;
    let scrape = Scrape::until(host.metrics(), "all requests", |scrape| {
        scrape.counted() >= all && scrape.sum("metrics_host_requests_in_flight", &[]) == 0.0
    })
    .await;
    let mut seen = tally.begun();
    seen.add(Kind::new("PUT", case.route, "499"), left);
    seen.add(Kind::new("PATCH", case.route, "200"), left);
    assert_eq!(scrape.requests(), seen, "{:?}", tally.problem);
    assert_eq!(scrape.total(), all);
    // A trap takes only its own request, since no other is in its instance.
    let traps = scrape.sum("app_component_failures_total", &[("reason", "trap")]);
    assert_eq!(traps, (case.requests / 20) as f64);
    assert_eq!(scrape.sum("app_component_failures_total", &[]), traps);
    // On a busy machine, a short body may begin to stream before the trap.
    assert!(tally.cut.total() >= case.requests as u64 / 40);
    length.report(&format!(
        "{}: {all} requests, {traps} traps, {} of them cut a body, {} clients left, all counted",
        case.name,
        tally.cut.total(),
        2 * left
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_wasi_0_2_is_counted_as_its_clients_saw_it() {
    let length = Length::chosen();
    let case = Case {
        name: "WASI 0.2",
        requests: length.requests,
        plan: synchronous,
        route: "/sync/...",
        late: "/sync/late?2000",
        endless: ("/sync/endless?10", "data: 1\n\n"),
    };
    each_is_counted_as_its_client_saw_it(length, stack::serve_misbehaving(), case).await;
}

/// `make test-languages` runs its short form, since it builds the application.
pub(crate) async fn javascript_is_counted_as_its_clients_saw_it() {
    let length = Length::chosen();
    let case = Case {
        name: "JavaScript",
        // A trap takes a tenth of a second of CPU.
        requests: if length.full { length.requests } else { 800 },
        plan: javascript,
        route: "/...",
        late: "/late/2000",
        endless: ("/lines/100000/10", "line 1\n"),
    };
    // A trap is the end of all memory: less of it is gone sooner.
    let launch = stack::serve_language("javascript").env("METRICS_HOST_INSTANCE_MEMORY", "24MiB");
    each_is_counted_as_its_client_saw_it(length, launch, case).await;
}
