//! Imports of components: interfaces of all versions, answered as under Spin; those that `serve` denies; `wasi:otel`.

use crate::{
    client::get,
    scrape::Scrape,
    spin::Spin,
    stack::{self, workspace},
};
use std::{fs, path::Path, process::Command, sync::Arc};

/// The interfaces that the component imports and `serve` denies.
const DENIED: [&str; 5] = [
    "fermyon:spin/llm",
    "fermyon:spin/llm@2.0.0",
    "fermyon:spin/mysql",
    "fermyon:spin/mysql@2.0.0",
    "spin:mysql/mysql@3.0.0",
];
/// Paths of the component, with the end of what it says.
const PATHS: [(&str, &str); 8] = [
    ("variables", "[(\"greeting\", \"hello, world\")]\n"),
    ("sqlite", "\"Error::Io\"\n"),
    ("sqlite-of-spin-1", "\"Error::InvalidConnection\"\n"),
    ("key-value", "None\nfalse\n[]\n"),
    ("key-value-of-spin-1", "\"Error::NoSuchKey\"\n"),
    ("key-value-3", "()\nNone\n[]\n"),
    (
        "swap",
        "Some([49])\nSome([50])\ntrue\nSome([51])\n300\n-1\n\
         Some([255, 255, 255, 255, 255, 255, 255, 255])\n",
    ),
    ("denied", "true\ntrue\ntrue\ntrue\ntrue\ntrue\ntrue\n"),
];

#[tokio::test]
async fn interfaces_of_all_versions_answer_as_under_spin() {
    let host = stack::serve_world().start().await.unwrap();
    let mut said = Vec::new();
    for (path, end) in PATHS {
        let response = get(host.api(), &format!("GET /{path}")).await;
        assert_eq!(response.status, 200, "{path}");
        assert!(
            response.text().ends_with(end),
            "{path}: {}",
            response.text()
        );
        said.push(response.text().to_owned());
    }
    if Spin::version("the answers of all interfaces").is_none() {
        return;
    }
    let state = Arc::new(tempfile::tempdir().unwrap());
    let manifest = workspace("metrics-host/tests/world/spin.toml");
    let spin = Spin::serve(&manifest, &[], &state).await;
    for ((path, _), said) in PATHS.iter().zip(said) {
        let response = get(spin.api, &format!("GET /{path}")).await;
        assert_eq!(said, response.text(), "{path}");
    }
}

#[tokio::test]
async fn denied_calls_return_an_error_that_names_the_way_out() {
    let host = stack::serve_world().start().await.unwrap();
    for _ in 0..2 {
        let response = get(host.api(), "GET /reasons").await;
        let no = |service: &str| {
            format!(
                "(\"metrics-host serve has no {service}; run the application with \
                 `metrics-host proxy -- spin up`\"))"
            )
        };
        let (mysql, models) = (no("MySQL"), no("language models"));
        let expected = format!(
            "Err(Error::Other{mysql}\nErr(MysqlError::OtherError{mysql}\nErr(Error::RuntimeError{models}\n"
        );
        assert_eq!(response.text(), expected);
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum("metrics_host_guest_denied_calls_total", &[]),
        6.0
    );
    for interface in ["fermyon:spin/mysql", "fermyon:spin/mysql@2.0.0"] {
        let lines = host.count_logged(|line| line["interface"] == interface);
        assert_eq!(lines, 1, "{interface}");
    }
}

fn check(manifest: &Path) -> (Option<i32>, Vec<String>) {
    let mut command = Command::new(stack::binary());
    let output = command.arg("check").arg(manifest).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code(),
        said.lines().map(str::to_owned).collect(),
    )
}

#[test]
fn check_lists_the_imports_that_do_not_work() {
    let (code, lines) = check(&workspace("metrics-host/tests/world/spin.toml"));
    assert_eq!(code, Some(0), "{lines:#?}");
    for interface in DENIED {
        let remark = format!("warning: component \"world\": calls of {interface} will fail: ");
        assert!(
            lines.iter().any(|line| line.contains(&remark)),
            "{lines:#?}"
        );
    }
    assert_eq!(lines.len(), DENIED.len() + 1, "{lines:#?}");
}

#[tokio::test]
async fn an_import_that_nobody_knows_is_named_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let component = r#"(component
        (import "my:own/thing@1.0.0" (instance (export "f" (func))))
        (import "my:own/other" (instance)))"#;
    let wasm = wat::parse_str(component).unwrap();
    fs::write(directory.path().join("c.wasm"), wasm).unwrap();
    let manifest = directory.path().join("spin.toml");
    let text = "spin_manifest_version = 2
        application.name = \"unknown\"
        [[trigger.http]]
        route = \"/...\"
        component = { source = \"c.wasm\" }";
    fs::write(&manifest, text).unwrap();
    let (code, lines) = check(&manifest);
    assert_eq!(code, Some(1));
    for (line, import) in lines.iter().zip(["my:own/thing@1.0.0", "my:own/other"]) {
        assert!(line.contains(&format!("imports {import}, which")), "{line}");
    }
    let (code, log) = stack::serve().manifest(&manifest).fail().await.unwrap();
    assert_eq!(code, 1);
    for part in [
        "imports my:own/thing@1.0.0, my:own/other, which metrics-host serve does not have",
        "metrics-host proxy -- spin up",
    ] {
        assert!(log.contains(part), "{log}");
    }
}

#[tokio::test]
async fn exported_metrics_count_as_sent_ones_and_other_telemetry_is_dropped() {
    // The listener is for other senders.
    let host = stack::serve_otel()
        .otlp_listen("off")
        .start()
        .await
        .unwrap();
    for total in [5, 7, 7] {
        let response = get(host.api(), &format!("GET /?{total}")).await;
        assert_eq!(response.text(), "Ok(())");
    }
    let scrape = Scrape::of(host.metrics()).await;
    let job = ("job", "shop/orders");
    let orders = [
        job,
        ("kind", "a"),
        ("count", "3"),
        ("on", "true"),
        ("plain", "text"),
    ];
    assert_eq!(scrape.sum("orders_placed_total", &orders), 7.0);
    assert_eq!(scrape.sum("cart_fill_ratio", &[job]), 0.5);
    assert_eq!(scrape.sum("order_size_count", &[job]), 3.0);
    assert_eq!(scrape.sum("order_size_bucket", &[job, ("le", "2")]), 2.0);
    let target = [job, ("telemetry_sdk_language", "rust")];
    assert_eq!(scrape.sum("target_info", &target), 1.0);
    assert_eq!(
        scrape.sum("metrics_host_ingest_dropped_log_records_total", &[]),
        3.0
    );
    let spans = scrape.sum("metrics_host_ingest_spans_total", &[("kind", "other")]);
    assert_eq!(spans, 3.0);
}
