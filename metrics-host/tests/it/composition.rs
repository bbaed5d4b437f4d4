//! Applications whose components are made of others: middleware, dependencies, modules of WASI 0.1, and downloads. A real
//! Spin, where there is one, gives the same responses.

use crate::{
    client::{empty, request, send, with_body},
    scrape::Scrape,
    spin::Spin,
    stack::{self, Host, free_address, workspace},
    startup::fails,
    traffic::{Planned, drive, mixed_with_traps},
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use testkit::{
    host::{Launch, require},
    http::Request,
    process::Process,
    wait::{Seen, Wait},
};
use tokio::net::TcpStream;

const MODULE: &str = "target/wasm32-wasip1/component/synchronous_component.wasm";
const MIDDLEWARE: &str = "target/wasm32-wasip2/component/middleware_component.wasm";

/// Writes a manifest with the components of the workspace in the place of their names, and starts it.
fn launch(directory: &Path, text: &str) -> Launch {
    stack::serve_misbehaving().manifest(&write(directory, text))
}

fn write(directory: &Path, text: &str) -> PathBuf {
    let mut text = format!("spin_manifest_version = 2\napplication.name = \"composed\"\n{text}");
    for (name, file) in [
        (
            "ITEMS",
            "target/wasm32-wasip2/component/items_component.wasm",
        ),
        ("MISBEHAVING", stack::MISBEHAVING),
        ("MIDDLEWARE", MIDDLEWARE),
        ("MODULE", MODULE),
    ] {
        let file = require(file, "make build test-components").unwrap();
        text = text.replace(name, file.to_str().unwrap());
    }
    let path = directory.join("spin.toml");
    fs::write(&path, text).unwrap();
    path
}

/// A response, without the headers that two servers set differently.
type Answer = (u16, Vec<(String, String)>, String);

async fn answers(address: SocketAddr, requests: &[Request]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for request in requests {
        let reply = send(address, request.clone()).await;
        let headers = reply.headers.iter().map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let framing = [
            "date",
            "content-length",
            "transfer-encoding",
            "connection",
            "x-request-id",
        ];
        let mut headers: Vec<_> = headers
            .filter(|(name, _)| !framing.contains(&name.as_str()))
            .collect();
        headers.sort();
        answers.push((reply.status.as_u16(), headers, reply.text().to_owned()));
    }
    answers
}

/// Starts the application, and checks that Spin gives the same responses. Returns the host and its responses.
async fn compared(directory: &Path, text: &str, requests: &[Request]) -> (Host, Vec<Answer>) {
    let host = launch(directory, text).start().await.unwrap();
    let found = answers(host.api(), requests).await;
    if Spin::version("responses of composed components").is_some() {
        let state = Arc::new(tempfile::tempdir().unwrap());
        let spin = Spin::serve(&directory.join("spin.toml"), &[], &state).await;
        let expected = answers(spin.api, requests).await;
        for ((request, found), expected) in requests.iter().zip(&found).zip(&expected) {
            assert_eq!(found, expected, "{request:?}");
        }
    }
    (host, found)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let named = answer.1.iter().filter(|(other, _)| other == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn asking(line: &str, headers: &[(&str, &str)]) -> Request {
    let request = headers
        .iter()
        .fold(request(line), |request, (name, value)| {
            request.header(*name, *value)
        });
    empty(request)
}

const LAYERED: &str = r#"
[[trigger.http]]
route = "/..."
component = "misbehaving"
dependencies.middleware = [
    { component = "outer", inherit_configuration = ["environment", "allowed_outbound_hosts"] },
    { path = "MIDDLEWARE" },
]

[[trigger.http]]
route = "/bare/..."
component = "misbehaving"

[component.misbehaving]
source = "MISBEHAVING"
allowed_outbound_hosts = ["http://127.0.0.1:1"]
key_value_stores = ["default"]
environment = { GREETING = "hello" }

[component.outer]
source = "MIDDLEWARE"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn middleware_stands_before_its_component_and_may_use_what_it_inherits() {
    let directory = tempfile::tempdir().unwrap();
    let requests = [
        empty(request("GET /")),
        empty(request("GET /bare/x")),
        asking("GET /", &[("middleware-refuse", "yes")]),
        asking("GET /", &[("middleware-environment", "GREETING")]),
        asking("GET /", &[("middleware-store", "default")]),
        empty(request("GET /environment?GREETING")),
        with_body(request("POST /echo"), "x".repeat(300_000)),
        empty(request("GET /status?418")),
        asking("GET /bare", &[("middleware-trap", "yes")]),
    ];
    let (host, found) = compared(directory.path(), LAYERED, &requests).await;
    assert_eq!(header(&found[0], "middleware"), ["passed", "passed"]);
    assert_eq!(found[0].2, "fine");
    assert!(header(&found[1], "middleware").is_empty());
    assert_eq!((found[2].0, found[2].2.as_str()), (403, "refused"));
    let seen = header(&found[3], "middleware-environment");
    assert_eq!(seen, ["Err(NotPresent)", "Ok(\"hello\")"]);
    let denied = "Err(Error::AccessDenied)";
    assert_eq!(header(&found[4], "middleware-store"), [denied, denied]);
    assert_eq!(found[5].2, "hello");
    assert_eq!(found[6].2.len(), 300_000);
    assert_eq!(found[7].0, 418);
    assert_eq!(found[8].0, 200);
    // The outer one may connect, where nobody listens; the inner one may not.
    let sent = send(
        host.api(),
        asking("GET /", &[("middleware-send", "http://127.0.0.1:1/")]),
    )
    .await;
    let sent: Vec<_> = sent
        .headers
        .get_all("middleware-send")
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect();
    assert!(
        sent[0].contains("\\\"wasi:http/client\\\" is not permitted"),
        "{sent:?}"
    );
    assert!(sent[1].contains("ConnectionRefused"), "{sent:?}");
    let trapped = send(host.api(), asking("GET /", &[("middleware-trap", "yes")])).await;
    assert_eq!(trapped.status, 500);
    // All of it counts under the component of the manifest.
    let scrape = Scrape::of(host.metrics()).await;
    let of = |route| {
        scrape.sum(
            "app_requests_total",
            &[("component", "misbehaving"), ("endpoint", route)],
        )
    };
    assert_eq!((of("/..."), of("/bare/...")), (9.0, 2.0));
    assert_eq!(scrape.total(), 11);
    let trap = [("component", "misbehaving"), ("reason", "trap")];
    assert_eq!(scrape.sum("app_component_failures_total", &trap), 1.0);
}

const COUNTED: &str = r#"
[variables]
telemetry = { default = "otlp" }
fault_injection = { default = "on" }

[[trigger.http]]
route = "/..."
component = "items"
dependencies.middleware = [{ path = "MIDDLEWARE" }]

[component.items]
source = "ITEMS"
sqlite_databases = ["default"]
key_value_stores = ["default"]
variables = { telemetry = "{{ telemetry }}", fault_injection = "{{ fault_injection }}", store = "sqlite" }
"#;

/// Traps in the component, and in the middleware before it.
fn with_traps_in_both(index: usize) -> Planned {
    match index % 20 {
        13 => (asking("GET /", &[("middleware-trap", "yes")]), "/"),
        _ => mixed_with_traps(index),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_component_behind_middleware_is_counted() {
    const REQUESTS: usize = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let launch = launch(directory.path(), COUNTED);
    let launch = launch.args(&["--log-level", "off,metrics_host::app=info"]);
    let host = launch.start().await.unwrap();
    let tally = drive(host.api(), 64, REQUESTS, with_traps_in_both).await;
    let scrape = Scrape::of(host.metrics()).await;
    // On a busy machine a trap may come after the head of a response, which it cuts.
    let begun = tally.begun();
    assert_eq!(begun.total(), REQUESTS as u64);
    assert_eq!(scrape.total(), REQUESTS as u64);
    assert_eq!(
        scrape.requests().by_method_and_status(),
        begun.by_method_and_status()
    );
    assert!(tally.counts.with_status("500") >= REQUESTS as u64 / 10);
    let named = scrape.sum("app_requests_total", &[("endpoint", "/items/{id}")]);
    assert!(
        named > 0.0,
        "the component names its routes through the middleware"
    );
}

/// The import of middleware is satisfied by a dependency in place of a next component.
const DEPENDENT: &str = r#"
[[trigger.http]]
route = "/..."
component = "front"

[component.front]
source = "MIDDLEWARE"
environment = { GREETING = "hello" }
allowed_outbound_hosts = ["tcp://127.0.0.1:1"]
INHERIT_ALL
[component.front.dependencies]
"wasi:http/handler" = { path = "MISBEHAVING"INHERIT }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_satisfies_an_import_and_may_use_what_it_inherits() {
    let requests = [
        empty(request("GET /")),
        empty(request("GET /environment?GREETING")),
        empty(request("GET /connect?127.0.0.1:1")),
        with_body(request("POST /read"), "12345"),
    ];
    for (all, inherit, greeting, connected) in [
        ("", "", "", "permission denied"),
        (
            "",
            ", inherit_configuration = [\"environment\"]",
            "hello",
            "permission denied",
        ),
        (
            "dependencies_inherit_configuration = true",
            "",
            "hello",
            "connection refused",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let text = DEPENDENT
            .replace("INHERIT_ALL", all)
            .replace("INHERIT", inherit);
        let (host, found) = compared(directory.path(), &text, &requests).await;
        let bodies: Vec<_> = found.iter().map(|answer| answer.2.as_str()).collect();
        assert_eq!((bodies[0], bodies[1], bodies[3]), ("fine", greeting, "5"));
        assert!(
            bodies[2].to_lowercase().contains(connected),
            "{}",
            bodies[2]
        );
        assert!(
            found
                .iter()
                .all(|answer| header(answer, "middleware") == ["passed"])
        );
        assert_eq!(Scrape::of(host.metrics()).await.total(), 4);
    }
}

#[tokio::test]
async fn components_that_do_not_fit_together_are_refused_with_both_names() {
    let directory = tempfile::tempdir().unwrap();
    let other = DEPENDENT.replace("INHERIT_ALL", "").replace("INHERIT", "");
    let other = other.replace("wasi:http/handler", "a:b");
    let expected = [
        "component \"front\"",
        "dependency \"a:b\" satisfies no import",
        "wasi:http/handler@0.3.0",
    ];
    fails(launch(directory.path(), &other), 1, &expected).await;
    let synchronous = workspace(stack::SYNCHRONOUS);
    let older = LAYERED.replace("MISBEHAVING", synchronous.to_str().unwrap());
    let expected = [
        "component \"misbehaving\"",
        "middleware needs a component of WASI HTTP 0.3",
    ];
    fails(launch(directory.path(), &older), 1, &expected).await;
    let no_middleware = LAYERED.replace("\"MIDDLEWARE\"", "\"MISBEHAVING\"");
    let expected = [
        "middleware",
        "it does not both import and export wasi:http/handler@0.3.0",
    ];
    fails(launch(directory.path(), &no_middleware), 1, &expected).await;
}

const FROM_MODULE: &str = r#"
[[trigger.http]]
route = "/sync/..."
component = "module"

[component.module]
source = "MODULE"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_wasi_0_1_becomes_a_component() {
    let directory = tempfile::tempdir().unwrap();
    let requests = [
        empty(request("GET /sync/instance")),
        empty(request("GET /sync/instance")),
        empty(request("GET /sync/status?418")),
        with_body(request("POST /sync/echo"), "x".repeat(300_000)),
    ];
    let (host, found) = compared(directory.path(), FROM_MODULE, &requests).await;
    assert_eq!(found[1].2, "1");
    assert_eq!((found[2].0, found[3].2.len()), (418, 300_000));
    assert_eq!(Scrape::of(host.metrics()).await.total(), 4);
}

#[tokio::test]
async fn a_module_that_only_spin_runs_is_refused_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.wasm");
    let text = FROM_MODULE.replace("MODULE", path.to_str().unwrap());
    for (module, expected) in [
        (
            "(module (func (export \"handle-http-request\")))",
            "a module of an SDK from before components",
        ),
        (
            "(module (func (export \"_start\")))",
            "which only the executor `wagi` runs",
        ),
        ("(module)", "a module that does not describe its interfaces"),
    ] {
        fs::write(&path, wat::parse_str(module).unwrap()).unwrap();
        let way_out = "`metrics-host proxy -- spin up`";
        fails(
            launch(directory.path(), &text),
            1,
            &[expected, way_out, path.to_str().unwrap()],
        )
        .await;
    }
    fs::write(&path, "<html>").unwrap();
    fails(
        launch(directory.path(), &text),
        1,
        &["no WebAssembly component"],
    )
    .await;
}

fn openssl(directory: &Path, arguments: &str) {
    let mut openssl = Command::new("openssl");
    let made = openssl
        .args(arguments.split(' '))
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{arguments}: {made:?}");
}

/// Serves the files of `directory` over TLS, with a certificate of an authority whose own is in `ca.pem`.
async fn https(directory: &Path) -> (Process, SocketAddr) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        directory,
        &format!("req -x509 {key} -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"),
    );
    openssl(
        directory,
        &format!(
            "req {key} -subj /CN=files -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out csr.pem"
        ),
    );
    openssl(
        directory,
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out cert.pem",
    );
    let address = free_address();
    let mut server = Command::new("openssl");
    server
        .args([
            "s_server",
            "-accept",
            &address.to_string(),
            "-cert",
            "cert.pem",
            "-key",
            "key.pem",
            "-WWW",
            "-quiet",
        ])
        .current_dir(directory);
    let mut server = Process::start(server).unwrap();
    let wait = Wait::up_to(Duration::from_secs(10)).every(Duration::from_millis(20));
    let listening = server.until(wait, "a connection to openssl", async || {
        TcpStream::connect(address).await?;
        Ok(Seen::Yes(()))
    });
    listening.await.unwrap();
    (server, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_downloaded_once_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let synchronous = fs::read(workspace(stack::SYNCHRONOUS)).unwrap();
    fs::write(directory.path().join("c.wasm"), &synchronous).unwrap();
    let (server, address) = https(directory.path()).await;
    let sum = Command::new("sha256sum")
        .arg(workspace(stack::SYNCHRONOUS))
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let digest = format!("sha256:{}", &sum[..64]);
    let url = format!("https://{address}/c.wasm");
    let source = |digest: &str| {
        let source = format!("{{ url = \"{url}\", digest = \"{digest}\" }}");
        FROM_MODULE.replace("\"MODULE\"", &source)
    };
    let launch = |digest: &str| {
        let authority = directory.path().join("ca.pem");
        launch(directory.path(), &source(digest)).env("SSL_CERT_FILE", authority.to_str().unwrap())
    };
    let wrong = format!("sha256:{}", "0".repeat(64));
    fails(launch(&wrong), 1, &[&url, &wrong, &digest]).await;
    let unknown = launch(&digest).without("SSL_CERT_FILE");
    fails(unknown, 1, &[&url, "UnknownIssuer"]).await;

    let state = Arc::new(tempfile::tempdir().unwrap());
    let host = launch(&digest).state(&state).start().await.unwrap();
    let found = answers(host.api(), &[empty(request("GET /sync/instance"))]).await;
    assert_eq!((found[0].0, found[0].2.as_str()), (200, "1"));
    drop(host);
    server.kill();
    let host = launch(&digest).state(&state).start().await.unwrap();
    assert_eq!(
        answers(host.api(), &[empty(request("GET /sync/instance"))]).await,
        found
    );
    fails(launch(&digest), 1, &[&url, "Connection refused"]).await;
}
