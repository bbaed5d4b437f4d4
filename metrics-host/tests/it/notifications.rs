//! The webhook for Alertmanager, and the runbooks that its alerts link to.

use crate::{
    client::{self, Reply, get, json, request, with_body},
    scrape::Scrape,
    stack::{self, Host, workspace},
};
use serde_json::{Value, json};
use std::fs;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A message of Alertmanager 0.25 about one alert.
pub(crate) fn message(alert: &str, status: &str, summary: &str) -> Value {
    json!({
        "receiver": "metrics-host", "status": status, "version": "4", "truncatedAlerts": 0,
        "groupKey": "{}:{alertname=\"x\"}", "groupLabels": { "alertname": alert }, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://127.0.0.1:9093",
        "alerts": [{
            "status": status, "labels": { "alertname": alert, "severity": "critical", "job": "metrics-host" },
            "annotations": { "summary": summary, "runbook_url": "http://127.0.0.1:9464/runbooks/x",
                "dashboard_url": "http://127.0.0.1:3000/d/app-overview?viewPanel=2&x=1" },
            "startsAt": "2026-11-25T07:00:00.123Z",
            "endsAt": if status == "resolved" { "2026-11-25T07:05:00Z" } else { "0001-01-01T00:00:00Z" },
            "generatorURL": "http://127.0.0.1:9090/graph", "fingerprint": alert,
        }],
    })
}

pub(crate) async fn notify(host: &Host, message: &Value) -> Reply {
    let post = json("POST /api/v1/alerts", message.to_string());
    client::send(host.metrics(), post).await
}

fn counted(scrape: &Scrape, status: &str) -> f64 {
    scrape.sum("metrics_host_notifications_total", &[("status", status)])
}

#[tokio::test]
async fn every_alert_that_alertmanager_delivers_is_counted_by_its_status() {
    let host = stack::sidecar().start().await.unwrap();
    let start = Scrape::of(host.metrics()).await;
    for status in ["firing", "resolved"] {
        let labels = [("status", status)];
        assert!(start.has("metrics_host_notifications_total", &labels));
        assert_eq!(counted(&start, status), 0.0);
    }
    for status in ["firing", "firing", "resolved"] {
        let reply = notify(&host, &message("Watchdog", status, "It fires.")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (200, r#"{"alerts":1}"#)
        );
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(counted(&scrape, "firing"), 2.0);
    assert_eq!(counted(&scrape, "resolved"), 1.0);
}

#[tokio::test]
async fn what_is_no_notification_is_refused_with_its_reason() {
    let host = stack::sidecar()
        .args(&["--allowed-host", "metrics.internal"])
        .start()
        .await
        .unwrap();
    let start = Scrape::of(host.metrics()).await;
    let name = "metrics_host_notifications_rejected_total";
    let good = message("Watchdog", "firing", "It fires.").to_string();
    let json = ("content-type", "application/json");
    for (headers, body, status, reason, said) in [
        (
            vec![json, ("host", "evil.example")],
            &*good,
            421,
            "host",
            "--allowed-host",
        ),
        (
            vec![("content-type", "text/plain")],
            &good,
            415,
            "content_type",
            "text/plain",
        ),
        (vec![], &good, 415, "content_type", "application/json"),
        (
            vec![json, ("content-encoding", "br")],
            &good,
            415,
            "content_encoding",
            "br",
        ),
        (vec![json], "{", 400, "malformed", "malformed"),
        (
            vec![json],
            r#"{"version":"3","alerts":[]}"#,
            400,
            "malformed",
            "\\\"3\\\"",
        ),
    ] {
        let labels = [("reason", reason)];
        assert!(start.has(name, &labels), "{reason} does not begin at 0");
        let before = Scrape::of(host.metrics()).await.sum(name, &labels);
        let mut post = request("POST /api/v1/alerts");
        for (header, value) in headers {
            post = post.header(header, value);
        }
        let post = with_body(post, body.to_owned());
        let reply = client::send(host.metrics(), post).await;
        assert_eq!(reply.status, status, "{reason}: {reply:?}");
        assert!(reply.text().contains(said), "{reason}: {reply:?}");
        let after = Scrape::of(host.metrics()).await;
        assert_eq!(after.sum(name, &labels), before + 1.0, "{reason}");
        assert_eq!(counted(&after, "firing"), 0.0, "{reason}");
    }
    // Refused by its declared length. Only the head is sent: the host may close before it has read a body.
    let mut stream = TcpStream::connect(host.metrics()).await.unwrap();
    let head = "POST /api/v1/alerts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 3145728\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("2097152"), "{answer}");
    let after = Scrape::of(host.metrics()).await;
    assert_eq!(after.sum(name, &[("reason", "too_large")]), 1.0);

    let named = client::json("POST /api/v1/alerts", good);
    let (mut head, body) = named.into_parts();
    head.headers
        .insert("host", "metrics.internal:9464".parse().unwrap());
    let named = http::Request::from_parts(head, body);
    assert_eq!(client::send(host.metrics(), named).await.status, 200);

    let get = get(host.metrics(), "GET /api/v1/alerts").await;
    assert_eq!(
        (get.status.as_u16(), get.header("allow")),
        (405, Some("POST"))
    );
}

#[tokio::test]
async fn every_runbook_of_the_repository_is_served() {
    let host = stack::sidecar().start().await.unwrap();
    let index = get(host.metrics(), "GET /runbooks/").await;
    assert_eq!(index.status, 200);
    let mut found = 0;
    for entry in fs::read_dir(workspace("alerts/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let link = format!("/runbooks/{name}");
        assert!(index.text().contains(&format!("href=\"{link}\"")), "{name}");
        let page = get(host.metrics(), &format!("GET {link}")).await;
        assert_eq!(page.status, 200, "{name}");
        assert!(page.text().contains("<h1>"), "{name}");
        let head = get(host.metrics(), &format!("HEAD {link}")).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{name}");
        found += 1;
    }
    assert!(found > 0);
    for missing in ["Nobody", "Watchdog.md", "../style.css", "%3Cscript%3E"] {
        let page = get(host.metrics(), &format!("GET /runbooks/{missing}")).await;
        assert_eq!(page.status, 404, "{missing}");
    }
}
