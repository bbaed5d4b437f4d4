//! The status page in a browser: it shows the numbers of `/metrics`, updates itself, fits every screen, and keeps to its
//! own policy.

mod accessibility;
mod screens;

use crate::{
    browser::{Browser, Shown, View},
    client::{self, empty, get, request},
    notifications::{message, notify},
    scrape::Scrape,
    stack::{self, Host},
    traffic::{drive, mixed, mixed_with_traps},
};
use std::{collections::BTreeSet, fs};

const DESK: View = View {
    width: 1280,
    scheme: "light",
};
const PHONE: View = View {
    width: 360,
    scheme: "dark",
};

/// The page of an endpoint of the items API.
const ENDPOINT: &str = "/endpoint?application=items&component=items&endpoint=%2Fitems";

/// Returns the `data` elements of a page that have the attribute `kind`: that attribute, and the value.
fn data(html: &str, kind: &str) -> Vec<(String, f64)> {
    let elements = html.split("<data ").skip(1);
    let attribute = |element: &str, name: &str| {
        let (_, rest) = element.split_once(&format!("{name}=\""))?;
        let value = rest.split_once('"')?.0;
        Some(value.replace("&quot;", "\"").replace("&amp;", "&"))
    };
    let named = elements.filter_map(|element| {
        let element = element.split_once('>')?.0;
        let value = attribute(element, "value")?;
        Some((attribute(element, kind)?, value.parse().unwrap()))
    });
    named.collect()
}

/// Evaluates a selector such as `name{label="value",http_status=~"5.."}`; the page uses no other pattern.
fn select(scrape: &Scrape, selector: &str) -> f64 {
    let (name, matchers) = selector.split_once('{').unwrap_or((selector, "}"));
    let matchers = matchers.strip_suffix('}').unwrap();
    let failed = r#"http_status=~"5..""#;
    let exact: Vec<_> = matchers
        .split(',')
        .filter(|matcher| !matcher.is_empty() && *matcher != failed)
        .map(|matcher| {
            let (label, value) = matcher.split_once('=').unwrap();
            (label, value.trim_matches('"'))
        })
        .collect();
    if !matchers.contains(failed) {
        return scrape.sum(name, &exact);
    }
    let requests = scrape.requests();
    let statuses = requests.kinds().map(|kind| &*kind.status);
    let failures: BTreeSet<_> = statuses.filter(|status| status.starts_with('5')).collect();
    let counted = failures.iter().map(|status| {
        let labels = [&exact[..], &[("http_status", *status)]].concat();
        scrape.sum(name, &labels)
    });
    counted.sum()
}

/// Checks every number of the page that names its sample, and returns how many it has.
fn assert_equals(shown: &Shown, scrape: &Scrape) -> usize {
    let numbers = data(&shown.html, "data-sample");
    for (sample, value) in &numbers {
        assert_eq!(*value, select(scrape, sample), "{sample}");
    }
    for (histogram, p95) in data(&shown.html, "data-quantile") {
        assert_eq!(p95, quantile(scrape, &histogram, 0.95), "{histogram}");
    }
    numbers.len()
}

/// Estimates a quantile from the buckets of a scrape.
fn quantile(scrape: &Scrape, histogram: &str, q: f64) -> f64 {
    let (name, matchers) = histogram.split_once('{').unwrap();
    let below = |le: &str| {
        let buckets = format!("{name}_bucket{{le=\"{le}\",{matchers}");
        select(scrape, &buckets)
    };
    let rank = q * below("+Inf");
    let mut lower = (0.0, 0.0);
    for le in telemetry::histogram::BOUNDS_SECONDS {
        let count = below(&le.to_string());
        if count >= rank && count > lower.1 {
            return lower.0 + (le - lower.0) * ((rank - lower.1) / (count - lower.1));
        }
        lower = (le, count);
    }
    f64::INFINITY
}

/// Starts a host, has it answer a mix of requests, and waits until its instances have ended.
async fn busy_then_idle() -> Host {
    let host = stack::serve().start().await.unwrap();
    drive(host.api(), 8, 400, mixed_with_traps).await;
    Scrape::until(host.metrics(), "the end of all instances", |scrape| {
        scrape.sum("metrics_host_instances", &[]) == 0.0
            && scrape.sum("metrics_host_requests_in_flight", &[]) == 0.0
    })
    .await;
    host
}

#[tokio::test]
async fn every_number_of_the_page_equals_that_of_metrics() {
    let host = busy_then_idle().await;
    let scrape = Scrape::of(host.metrics()).await;
    let mut browser = Browser::start();
    let shown = browser.open(host.metrics(), "/", DESK);
    assert!(assert_equals(&shown, &scrape) > 30);
    let shown_endpoints = data(&shown.html, "data-quantile").len();
    assert!(shown_endpoints >= 6, "{shown_endpoints} endpoints");
    assert!(scrape.sum("app_component_failures_total", &[("reason", "trap")]) > 0.0);
    for said in ["items 0.2.0", "sha256:", "✓ ready", "Latest p50 "] {
        assert!(shown.html.contains(said), "{said}");
    }

    // Later requests are on the page as soon as they are counted.
    drive(host.api(), 1, 10, mixed).await;
    let scrape = Scrape::until(host.metrics(), "the end of all instances", |scrape| {
        scrape.sum("metrics_host_instances", &[]) == 0.0
    })
    .await;
    let requests = scrape.counted();
    let shown = browser.open(host.metrics(), "/", DESK);
    assert_equals(&shown, &scrape);
    let all = data(&shown.html, "data-sample");
    assert!(all.contains(&("app_requests_total".into(), requests as f64)));
}

#[tokio::test]
async fn the_page_of_a_sidecar_shows_the_telemetry_it_takes() {
    let host = stack::sidecar().start().await.unwrap();
    let garbage = client::json("POST /v1/metrics", "{");
    assert_eq!(client::send(host.otlp(), garbage).await.status, 400);
    let scrape = Scrape::of(host.metrics()).await;
    let shown = Browser::start().open(host.metrics(), "/", DESK);
    assert!(assert_equals(&shown, &scrape) > 10);
    let refused = ("metrics_host_ingest_rejected_total".to_owned(), 1.0);
    assert!(data(&shown.html, "data-sample").contains(&refused));
    assert!(shown.html.contains("No application yet"));
    assert_eq!(shown.complaints, [""; 0]);
}

#[tokio::test]
async fn a_firing_alert_is_shown_first_with_a_runbook_that_is_there() {
    let host = stack::sidecar().start().await.unwrap();
    let script = "<script>document.title='taken'</script>";
    for (alert, status, summary) in [
        ("AppTrafficDrop", "resolved", "It is over."),
        ("Watchdog", "firing", "It fires."),
        ("Nameless\"><img src=x>", "firing", script),
    ] {
        let reply = notify(&host, &message(alert, status, summary)).await;
        assert_eq!(reply.status, 200);
    }
    let mut browser = Browser::start();
    let shown = browser.open(host.metrics(), "/", DESK);
    let place = |text: &str| shown.html.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(place("It fires.") < place("It is over."));
    assert!(place("▲ firing") < place("✓ resolved"));
    place("▲ 2");
    place("&lt;script&gt;document.title");
    assert_eq!(shown.html.matches("<script").count(), 1, "its own");
    assert!(!shown.html.contains("<img"));
    assert_eq!(shown.complaints, [""; 0]);

    place("href=\"http://127.0.0.1:3000/d/app-overview?viewPanel=2&amp;x=1\"");
    assert_eq!(shown.html.matches(">dashboard</a>").count(), 3);
    place("href=\"/runbooks/Watchdog\"");
    let runbook = browser.open(host.metrics(), "/runbooks/Watchdog", PHONE);
    assert_eq!((runbook.status, runbook.complaints), (200, vec![]));
    let missing = browser.open(host.metrics(), "/runbooks/Nobody", PHONE);
    assert_eq!(missing.status, 404);
    assert!(missing.html.contains("no runbook <code>Nobody</code>"));
}

#[tokio::test]
async fn the_page_links_to_its_neighbours_where_it_was_told() {
    let at = |port: u16| format!("http://127.0.0.1:{port}/\"?a=1&b=2");
    let told = stack::sidecar()
        .args(&[
            "--prometheus-url",
            &at(9090),
            "--alertmanager-url",
            &at(9093),
        ])
        .env("METRICS_HOST_GRAFANA_URL", &at(3000))
        .start()
        .await
        .unwrap();
    let mut browser = Browser::start();
    let shown = browser.open(told.metrics(), "/", PHONE);
    for (name, port) in [
        ("Prometheus", 9090),
        ("Alertmanager", 9093),
        ("Grafana", 3000),
    ] {
        let link = format!("<a href=\"http://127.0.0.1:{port}/&quot;?a=1&amp;b=2\">{name}</a>");
        assert!(shown.html.contains(&link), "{link}: {}", shown.html);
    }
    assert_eq!(shown.complaints, [""; 0]);
    let untold = stack::sidecar().start().await.unwrap();
    let shown = browser.open(untold.metrics(), "/", PHONE);
    for name in ["Prometheus", "Alertmanager", "Grafana"] {
        assert!(!shown.html.contains(&format!(">{name}</a>")), "{name}");
    }
}

#[tokio::test]
async fn charts_show_the_thresholds_of_the_rules() {
    let set = ["--error-ratio", "0.2", "--latency-target", "250ms"];
    for (args, [ratio, latency]) in [(&[][..], ["5", "500"]), (&set, ["20", "250"])] {
        let host = stack::sidecar().args(args).start().await.unwrap();
        let page = get(host.metrics(), "GET /").await;
        for shown in [
            format!("alert above {ratio}\u{a0}%"),
            format!("alert on p95 above {latency}\u{a0}ms"),
        ] {
            assert!(page.text().contains(&shown), "{shown}: {}", page.text());
        }
    }
}

#[tokio::test]
async fn alerts_are_shown_after_a_restart_and_a_damaged_file_does_not_prevent_it() {
    let host = stack::sidecar().start().await.unwrap();
    notify(&host, &message("Watchdog", "firing", "It fires.")).await;
    let state = host.state.clone();
    host.kill();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    let mut browser = Browser::start();
    let shown = browser.open(host.metrics(), "/", DESK);
    assert!(shown.html.contains("It fires.") && shown.html.contains(">dashboard</a>"));
    assert_eq!(shown.complaints, [""; 0]);
    host.kill();

    let file = state.path().join("state/notifications.json");
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    let forgotten = host.logged("the damage", |event| {
        let message = event["message"].as_str();
        message.is_some_and(|message| message.contains("earlier notifications are forgotten"))
    });
    assert_eq!(forgotten.await.unwrap()["level"], "WARN");
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum("metrics_host_notification_file_failures_total", &[]),
        1.0
    );
    let shown = browser.open(host.metrics(), "/", DESK);
    assert!(!shown.html.contains("It fires."));
    assert_equals(&shown, &scrape);
}

#[tokio::test]
async fn pages_fit_a_phone_and_break_no_policy_in_light_and_dark() {
    let host = busy_then_idle().await;
    let long = "endpoint_of_a_name_that_is_much_longer_than_a_phone_is_wide".repeat(4);
    notify(&host, &message(&long, "firing", &long)).await;
    let mut browser = Browser::start();
    let mut pictures = Vec::new();
    for width in [360, 1280] {
        for scheme in ["light", "dark"] {
            for path in [
                "/",
                "/?range=6h",
                ENDPOINT,
                "/runbooks/",
                "/runbooks/Watchdog",
            ] {
                let shown = browser.open(host.metrics(), path, View { width, scheme });
                assert!(
                    shown.width <= f64::from(width),
                    "{path} is {} wide at {width}",
                    shown.width
                );
                assert_eq!(shown.complaints, [""; 0], "{path}");
                if path == "/" {
                    pictures.push(shown.picture);
                }
            }
        }
    }
    pictures.dedup();
    assert_eq!(pictures.len(), 4, "light and dark look the same");
}

#[tokio::test]
async fn pages_forbid_all_that_they_do_not_need() {
    let host = stack::sidecar().start().await.unwrap();
    for (path, is_live) in [
        ("/", true),
        (ENDPOINT, true),
        ("/live.js", false),
        ("/style.css", false),
        ("/icon.svg", false),
        ("/runbooks/", false),
        ("/runbooks/Nobody", false),
    ] {
        let page = get(host.metrics(), &format!("GET {path}")).await;
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        let scripts = "script-src 'self'; connect-src 'self'";
        assert_eq!(policy.contains(scripts), is_live, "{path}: {policy}");
        assert_eq!(policy.contains("script-src"), is_live, "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        let head = get(host.metrics(), &format!("HEAD {path}")).await;
        assert_eq!((head.status, head.body.len()), (page.status, 0), "{path}");
    }
    let page = get(host.metrics(), "GET /").await;
    assert!(page.text().contains(r#"<html lang="en">"#));
}

#[tokio::test]
async fn a_page_updates_in_place_and_shows_values_under_the_pointer() {
    let host = busy_then_idle().await;
    let mut browser = Browser::start();
    browser.open(host.metrics(), "/", DESK);
    let requests = || "document.querySelector('tfoot data').value".to_owned();
    let before: u64 = browser.evaluate(&requests()).parse().unwrap();
    // A page that is loaded again knows neither.
    browser.evaluate("window.mark = 'kept'; document.querySelector('tbody a').focus(); ''");
    drive(host.api(), 1, 10, mixed).await;
    let expected = before + 10;
    let updated = format!(
        "new Promise((done) => setInterval(() => {{ if ({} == {expected}) done(window.mark + document.activeElement.tagName) }}, 50))",
        requests()
    );
    assert_eq!(browser.evaluate(&updated), "keptA");

    let point = "const box = document.querySelector('[data-points]').getBoundingClientRect();
        document.querySelector('[data-points]').dispatchEvent(new PointerEvent('pointermove', {
            bubbles: true, clientX: box.right - 20, clientY: box.top + 20 }));
        document.querySelectorAll('.cursor').length + document.querySelector('.tip').textContent";
    let tip = browser.evaluate(point);
    // Such as 1 14:03:07  12.3
    assert!(
        tip.starts_with('1') && tip.matches(':').count() == 2,
        "{tip}"
    );

    let address = host.metrics();
    host.kill();
    let lost = "new Promise((done) => setInterval(() => {
        const lost = document.getElementById('lost'); if (!lost.hidden) done(lost.textContent) }, 50))";
    let lost = browser.evaluate(lost);
    assert!(
        lost.starts_with("metrics-host does not answer."),
        "{lost} {address}"
    );
}

#[tokio::test]
async fn a_page_reloads_itself_without_scripts_unless_it_is_paused() {
    let host = stack::sidecar().start().await.unwrap();
    let refreshing = r#"<noscript><meta http-equiv="refresh" content="15"></noscript>"#;
    for (path, is_updated) in [("/", true), ("/?refresh=off", false), (ENDPOINT, true)] {
        let page = get(host.metrics(), &format!("GET {path}")).await;
        assert_eq!(page.text().contains(refreshing), is_updated, "{path}");
        assert_eq!(
            page.text().contains("<main data-updates>"),
            is_updated,
            "{path}"
        );
    }
    let mut browser = Browser::start();
    browser.forbid_scripts();
    let shown = browser.open(host.metrics(), "/", PHONE);
    assert!(shown.html.contains("No application yet"));
    assert_eq!(shown.complaints, [""; 0]);
}

#[tokio::test]
async fn an_endpoint_opens_with_its_statuses_and_the_errors_of_the_log() {
    let host = stack::serve().start().await.unwrap();
    let missing = get(host.metrics(), &format!("GET {ENDPOINT}")).await;
    assert!([200, 404].contains(&missing.status.as_u16()));
    drive(host.api(), 4, 100, mixed).await;
    let failing = empty(request("GET /items").header("x-fault", "error"));
    let reply = client::send(host.api(), failing).await;
    let id = reply.header("x-request-id").unwrap();
    let mut browser = Browser::start();
    let shown = browser.open(host.metrics(), "/", DESK);
    let link = ENDPOINT.replace('&', "&amp;");
    assert!(
        shown.html.contains(&format!("href=\"{link}\"")),
        "{}",
        shown.html
    );
    let shown = browser.open(host.metrics(), ENDPOINT, PHONE);
    assert_eq!((shown.status, &shown.complaints), (200, &vec![]));
    for part in ["GET 200", "POST 201", "GET 500", "<title>up to", id] {
        assert!(shown.html.contains(part), "{part}: {}", shown.html);
    }
    let unknown = get(host.metrics(), "GET /endpoint?endpoint=%2Fnowhere").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn red_numbers_calm_down_when_they_are_over() {
    let host = busy_then_idle().await;
    let state = host.state.clone();
    let trapped = |html: &str| {
        let (_, fact) = html.split_once("<dt>Instances trapped</dt>").unwrap();
        let (fact, _) = fact.split_once("</div>").unwrap();
        fact.to_owned()
    };
    let page = get(host.metrics(), "GET /").await;
    assert!(trapped(page.text()).contains(r#"class="bad""#));
    // The counters survive, the trouble does not.
    host.kill();
    let host = stack::serve().state(&state).start().await.unwrap();
    let page = get(host.metrics(), "GET /").await;
    let trapped = trapped(page.text());
    assert!(
        !trapped.contains("bad") && trapped.contains("none in the last"),
        "{trapped}"
    );
    assert!(!page.text().contains("class=\"bad\""), "{}", page.text());
}

#[tokio::test]
async fn what_nobody_uses_is_not_shown() {
    let host = stack::serve().start().await.unwrap();
    let page = get(host.metrics(), "GET /").await;
    assert!(!page.text().contains("OTLP"), "{}", page.text());
    assert!(page.text().contains("No Alertmanager has called."));
    assert!(page.text().contains("not connected"));
    let garbage = client::json("POST /v1/metrics", "{");
    assert_eq!(client::send(host.otlp(), garbage).await.status, 400);
    notify(&host, &message("Watchdog", "firing", "It fires.")).await;
    let page = get(host.metrics(), "GET /").await;
    assert!(page.text().contains("Telemetry over OTLP"));
    assert!(!page.text().contains("not connected"));
}
