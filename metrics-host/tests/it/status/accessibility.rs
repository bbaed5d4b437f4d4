//! axe-core finds nothing on any page. `make test-accessibility` installs it.

use super::{ENDPOINT, busy_then_idle};
use crate::{
    browser::{Browser, View},
    client::get,
    notifications::{message, notify},
    stack::{self, workspace},
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Returns the script of axe-core.
fn axe() -> String {
    let output = Command::new(workspace("tools/packages.sh"))
        .arg(workspace(
            "metrics-host/tests/it/status/axe/package-lock.json",
        ))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "axe-core cannot be installed");
    let packages = String::from_utf8(output.stdout).unwrap();
    let script = Path::new(packages.trim()).join("node_modules/axe-core/axe.min.js");
    fs::read_to_string(script).unwrap()
}

/// Returns what axe finds on the page that is open.
fn found(browser: &mut Browser, axe: &str) -> Vec<Value> {
    browser.evaluate(&format!("{axe}; ''"));
    let found = browser.evaluate("axe.run().then(({ violations }) => JSON.stringify(violations))");
    serde_json::from_str(&found).unwrap()
}

#[tokio::test]
async fn axe_finds_nothing_on_any_page() {
    let axe = axe();
    let host = busy_then_idle().await;
    for (alert, status) in [("AppOutage", "firing"), ("AppTrafficDrop", "resolved")] {
        notify(&host, &message(alert, status, "It is a test.")).await;
    }
    let sidecar = stack::sidecar().start().await.unwrap();
    let mut browser = Browser::start();
    for width in [360, 1280] {
        for scheme in ["light", "dark"] {
            let view = View { width, scheme };
            for path in [
                "/",
                ENDPOINT,
                "/endpoint?endpoint=%2F",
                "/runbooks/",
                "/runbooks/AppOutage",
            ] {
                browser.open(host.metrics(), path, view);
                assert_eq!(
                    found(&mut browser, &axe),
                    [Value::Null; 0],
                    "{path} {view:?}"
                );
            }
            browser.open(sidecar.metrics(), "/", view);
            assert_eq!(
                found(&mut browser, &axe),
                [Value::Null; 0],
                "sidecar {view:?}"
            );
        }
    }
    let index = get(host.metrics(), "GET /runbooks/").await;
    let runbooks = index.text().split("href=\"/runbooks/").skip(2);
    let view = View {
        width: 360,
        scheme: "light",
    };
    for runbook in runbooks.map(|rest| rest.split('"').next().unwrap()) {
        browser.open(host.metrics(), &format!("/runbooks/{runbook}"), view);
        assert_eq!(found(&mut browser, &axe), [Value::Null; 0], "{runbook}");
    }
    // It does find something.
    browser.evaluate("document.documentElement.removeAttribute('lang'); ''");
    assert_eq!(found(&mut browser, &axe)[0]["id"], "html-has-lang");
}
