//! The ready-made receivers deliver: a real Alertmanager with their settings, secrets from files, and stand-in servers.

use crate::{
    alertmanager::Alertmanager,
    rules::{Rule, alerts, read},
    sink::{Mail, Post, Sink},
};
use serde_json::json;
use std::{fs, path::Path};
use yaml_serde::Value;

/// Folder in which the receivers expect their secrets.
const SECRETS: &str = "/etc/alertmanager/secrets";
const PASSWORD: &str = "mail-password";
/// `\0alertmanager@example.com\0mail-password` in base64.
const CREDENTIALS: &str = "AGFsZXJ0bWFuYWdlckBleGFtcGxlLmNvbQBtYWlsLXBhc3N3b3Jk";
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Returns the first configuration of the receiver `name`.
fn setting<'a>(config: &'a mut Value, name: &str) -> &'a mut Value {
    let receivers = config["receivers"].as_sequence_mut().unwrap();
    let mut receivers = receivers.iter_mut();
    let receiver = receivers.find(|receiver| receiver["name"].as_str() == Some(name));
    &mut receiver.unwrap()[format!("{name}_configs").as_str()][0]
}

/// Returns `alertmanager.yml` with secrets in `secrets`, every alert routed to all three receivers at once, and these on
/// the loopback. Everything else is as committed.
fn configuration(secrets: &Path, mail: &Sink<Mail>, pager: &Sink<Post>) -> String {
    let committed = read("alertmanager.yml");
    assert_eq!(committed.matches(SECRETS).count(), 3);
    let committed = committed.replace(SECRETS, secrets.to_str().unwrap());
    let mut config: Value = yaml_serde::from_str(&committed).unwrap();
    config["route"] = yaml_serde::from_str(
        "{receiver: slack, group_by: [alertname, application, job], group_wait: 0s, group_interval: 1s, routes: \
         [{receiver: slack, continue: true}, {receiver: email, continue: true}, {receiver: pagerduty}]}",
    )
    .unwrap();
    let email = setting(&mut config, "email");
    email["smarthost"] = mail.address.to_string().into();
    // The stand-in has no certificate. Without TLS, Alertmanager sends a password to the loopback only.
    email["require_tls"] = false.into();
    setting(&mut config, "pagerduty")["url"] =
        format!("http://{}/v2/enqueue", pager.address).into();
    yaml_serde::to_string(&config).unwrap()
}

/// Writes the secrets as people do: with a final newline where `alertmanager.yml` allows it.
fn write_secrets(folder: &Path, slack: &Sink<Post>) {
    let webhook = format!("http://{}/services/T0/B0/secret\n", slack.address);
    for (file, secret) in [
        ("slack-webhook-url", webhook),
        ("smtp-password", PASSWORD.to_owned()),
        ("pagerduty-routing-key", format!("{ROUTING_KEY}\n")),
    ] {
        fs::write(folder.join(file), secret).unwrap();
    }
}

/// Returns the alert as Prometheus sends it.
fn firing(rule: &Rule) -> serde_json::Value {
    let mut labels = json!(rule.labels);
    labels["alertname"] = rule.name().into();
    labels["application"] = "shop".into();
    labels["component"] = "items".into();
    json!({ "labels": labels, "annotations": rule.annotations, "startsAt": "2026-01-02T03:04:05Z" })
}

#[tokio::test]
async fn slack_mail_and_pagerduty_are_told_what_fires_and_that_it_is_over() {
    let (slack, pager, mail) = (Sink::http(), Sink::http(), Sink::smtp());
    let secrets = tempfile::tempdir().unwrap();
    write_secrets(secrets.path(), &slack);
    let alertmanager = Alertmanager::start(&configuration(secrets.path(), &mail, &pager)).await;
    let rules = alerts();
    let rule = rules
        .iter()
        .find(|rule| rule.name() == "AppHigh5xxErrorRate");
    let rule = rule.unwrap();
    let mut alert = firing(rule);
    for (state, action) in [("FIRING", "trigger"), ("RESOLVED", "resolve")] {
        alertmanager.post(&json!([alert])).await;
        said_in_slack(&slack.next(), rule, state);
        mailed(&mail.next(), rule, state);
        paged(&pager.next(), rule, action);
        alert["endsAt"] = "2026-01-02T03:14:05Z".into();
    }
}

fn said_in_slack(Post { path, body }: &Post, rule: &Rule, state: &str) {
    assert_eq!(path, "/services/T0/B0/secret");
    assert_eq!(body["channel"], "#alerts");
    let said = &body["attachments"][0];
    assert_eq!(
        said["title"],
        format!("[{state}] {} of shop/items (critical)", rule.name())
    );
    assert_eq!(said["title_link"], rule.annotations["runbook_url"]);
    let text = said["text"].as_str().unwrap();
    assert!(text.contains(&rule.annotations["description"]), "{text}");
    assert!(text.contains(&rule.annotations["dashboard_url"]), "{text}");
}

fn mailed(mail: &Mail, rule: &Rule, state: &str) {
    assert_eq!(mail.credentials, CREDENTIALS);
    assert!(
        mail.from.starts_with("<alertmanager@example.com>"),
        "{mail:?}"
    );
    assert_eq!(mail.to, "<on-call@example.com>");
    let subject = mail.text.lines().find(|line| line.starts_with("Subject: "));
    let subject = subject.unwrap();
    assert!(
        subject.contains(state) && subject.contains(rule.name()),
        "{subject}"
    );
    assert!(
        mail.text.contains("/runbooks/AppHigh5xxErrorRate"),
        "{mail:?}"
    );
}

fn paged(Post { path, body }: &Post, rule: &Rule, action: &str) {
    assert_eq!(path, "/v2/enqueue");
    assert_eq!(body["routing_key"], ROUTING_KEY);
    assert_eq!(body["event_action"], action);
    // A resolve event identifies its incident by the key alone.
    if action == "trigger" {
        assert_eq!(body["payload"]["severity"], "critical");
        let summary = format!("{}: {}", rule.name(), rule.annotations["summary"]);
        assert_eq!(body["payload"]["summary"], summary);
        let links = body["links"].as_array().unwrap();
        let links: Vec<_> = links
            .iter()
            .map(|link| link["href"].as_str().unwrap())
            .collect();
        assert_eq!(
            links,
            ["runbook_url", "dashboard_url"].map(|url| &*rule.annotations[url])
        );
    }
}
