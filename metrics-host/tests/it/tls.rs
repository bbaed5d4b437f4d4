//! TLS for the clients of `serve` and `proxy`.

use crate::{
    scrape::Scrape,
    stack::{self, Host, Launch, free_address},
    startup::fails,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
};
use testkit::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Makes a certificate for `name`, and its key.
fn certify(directory: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn with_tls(launch: Launch, directory: &Path) -> Launch {
    let path = |file: &str| directory.join(file).to_str().unwrap().to_owned();
    launch
        .env("METRICS_HOST_TLS_CERT", &path("cert.pem"))
        .env("METRICS_HOST_TLS_KEY", &path("key.pem"))
}

/// Returns what curl prints for the application's `path`.
async fn curl(host: &Host, args: &[&str], path: &str) -> String {
    let url = format!("https://{}{path}", host.api());
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-k", "-s", "-w", " %{http_code} %{http_version}"]);
    let output = curl.args(args).arg(url).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the subject of the certificate that the application shows.
async fn subject(host: &Host) -> String {
    let output = tokio::process::Command::new("openssl")
        .args(["s_client", "-connect", &host.api().to_string()])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let subject = text.lines().find(|line| line.starts_with("subject="));
    subject.unwrap_or_default().replace(' ', "")
}

#[tokio::test]
async fn requests_over_tls_are_served_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path(), "shop");
    let launch = with_tls(stack::serve_misbehaving(), directory.path());
    let host = launch.start().await.unwrap();
    for (args, version) in [(&["--http1.1"][..], "1.1"), (&["--http2"], "2")] {
        let answer = curl(&host, args, "/hello").await;
        assert!(answer.ends_with(&format!(" 200 {version}")), "{answer}");
        let trap = curl(&host, args, "/recurse").await;
        assert!(trap.ends_with(&format!(" 500 {version}")), "{trap}");
        let body = "b".repeat(100_000);
        let large = curl(&host, &[args, &["-d", &body]].concat(), "/read").await;
        assert_eq!(large, format!("100000 200 {version}"));
        let request = curl(&host, args, "/request").await;
        assert!(request.starts_with("GET https://"), "{request}");
        // It leaves before the answer.
        curl(&host, &[args, &["-m", "1"]].concat(), "/sleep?3000").await;
    }
    // Without TLS there is no request.
    let plain = format!("http://{}/hello", host.api());
    let output = Command::new("curl").args(["-s", &plain]).output().unwrap();
    assert!(!output.status.success());
    let scrape = Scrape::until(host.metrics(), "all requests", |scrape| {
        scrape.counted() == 10
    });
    let scrape = scrape.await;
    for (status, count) in [("200", 6), ("500", 2), ("499", 2)] {
        assert_eq!(scrape.requests().with_status(status), count, "{status}");
    }
    assert_eq!(
        scrape.sum("metrics_host_tls_handshake_failures_total", &[]),
        1.0
    );
}

#[tokio::test]
async fn the_certificate_is_read_again_on_sighup_and_connections_stay() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path(), "first");
    let launch = with_tls(stack::serve(), directory.path());
    let host = launch.start().await.unwrap();
    assert_eq!(subject(&host).await, "subject=CN=first");
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &host.api().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut requests = client.stdin.take().unwrap();
    let mut answers = BufReader::new(client.stdout.take().unwrap());
    let mut ask = move || {
        requests
            .write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(answers.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        answers.read_exact(&mut body).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    };
    ask();
    certify(directory.path(), "second");
    host.signal(Signal::HUP).unwrap();
    host.logged("the reload", |event| {
        event["message"] == "certificate reloaded"
    })
    .await
    .unwrap();
    assert_eq!(subject(&host).await, "subject=CN=second");
    ask();
    fs::write(directory.path().join("key.pem"), "no key").unwrap();
    host.signal(Signal::HUP).unwrap();
    host.logged("the refusal", |event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.contains("key.pem") && message.contains("stays in use")
    })
    .await
    .unwrap();
    assert_eq!(subject(&host).await, "subject=CN=second");
    ask();
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(Scrape::of(host.metrics()).await.counted(), 3);
}

#[tokio::test]
async fn an_application_behind_the_proxy_learns_that_its_client_used_tls() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path(), "shop");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let length = head.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            _ = stream.write_all(answer.as_bytes()).await;
            _ = stream.write_all(&head).await;
        }
    });
    let host = with_tls(stack::proxy(address), directory.path());
    let host = host.start().await.unwrap();
    let answer = curl(&host, &[], "/orders").await;
    assert!(answer.contains("x-forwarded-proto: https"), "{answer}");
}

#[tokio::test]
async fn an_unusable_certificate_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let proxy = || with_tls(stack::proxy(free_address()), directory.path());
    fails(proxy(), 2, &["--tls-cert", "cert.pem"]).await;
    certify(directory.path(), "shop");
    fs::write(directory.path().join("key.pem"), "no key").unwrap();
    fails(proxy(), 2, &["--tls-key", "no private key", "key.pem"]).await;
    certify(directory.path(), "shop");
    fs::rename(
        directory.path().join("cert.pem"),
        directory.path().join("old.pem"),
    )
    .unwrap();
    certify(directory.path(), "blog");
    fs::rename(
        directory.path().join("old.pem"),
        directory.path().join("cert.pem"),
    )
    .unwrap();
    fails(proxy(), 2, &["key.pem", "does not fit", "cert.pem"]).await;
    let alone = stack::proxy(free_address()).args(&["--tls-cert", "cert.pem"]);
    fails(alone, 2, &[]).await;
}
