//! A failed start reports the reason in one line; a successful start reports what is served where.

use crate::{
    client::{self, get},
    stack::{self, Launch, free_address},
};
use serde_json::Value;
use std::{fs, net::TcpListener, path::Path, process::Command, sync::Arc};

/// Expects the exit code, and one clear line that contains all of `expected`.
pub(crate) async fn fails(launch: Launch, code: i32, expected: &[&str]) {
    let (exit, stderr) = launch.fail().await.unwrap();
    let said: Vec<_> = stderr
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    let complaint = said.first().copied().unwrap_or_default();
    // A usage error is followed by the usage.
    let usage = complaint.starts_with("error: ") && stderr.contains("--help");
    let alone = complaint.starts_with("metrics-host: ") && said.len() == 1;
    assert!(usage || alone, "{stderr}");
    for part in expected {
        assert!(complaint.contains(part), "no {part:?} in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(exit, code, "{stderr}");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_honoured_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for (from, to, expected) in [
        (
            "sqlite_databases",
            "allowed_http_hosts",
            "allowed_http_hosts",
        ),
        ("sqlite_databases", "colour", "colour"),
        (
            r#"{ default = "127.0.0.1:4318" }"#,
            "{ required = true }",
            "SPIN_VARIABLE_TELEMETRY_HOST",
        ),
        ("[[trigger.http]]", "[[trigger.redis]]", "redis"),
        (
            "spin_manifest_version = 2",
            "spin_manifest_version = 3",
            "spin_manifest_version 3",
        ),
        ("component = \"items\"", "component = \"others\"", "others"),
        (
            "http://{{ telemetry_host }}\"",
            "http://{{ telemetry_hots }}\"",
            "telemetry_hots",
        ),
        ("[application]", "[application", "spin.toml"),
    ] {
        fails(
            stack::serve_changed(directory.path(), from, to),
            2,
            &["spin.toml", expected],
        )
        .await;
    }
    let missing = directory.path().join("missing.toml");
    fails(stack::serve().manifest(&missing), 2, &["missing.toml"]).await;
}

#[tokio::test]
async fn a_component_that_cannot_be_hosted_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let wasm = directory.path().join("component.wasm");
    let source = "source = \"target/wasm32-wasip2/component/items_component.wasm\"";
    let serve = || stack::serve_changed(directory.path(), source, "source = \"component.wasm\"");
    fails(
        serve(),
        1,
        &["component.wasm", "build it with: tools/build-component.sh"],
    )
    .await;
    fs::write(&wasm, "no wasm").unwrap();
    fails(serve(), 1, &["component.wasm", "no WebAssembly component"]).await;
    fs::write(&wasm, wat::parse_str("(component)").unwrap()).unwrap();
    fails(serve(), 1, &["component.wasm", "serves no HTTP"]).await;
    let importing =
        r#"(component (import "fermyon:spin/key-value@2.0.0" (instance (export "open" (func)))))"#;
    fs::write(&wasm, wat::parse_str(importing).unwrap()).unwrap();
    fails(
        serve(),
        1,
        &["component.wasm", "fermyon:spin/key-value@2.0.0"],
    )
    .await;
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named_with_their_values() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (launch, flag) in [
        (stack::serve().args(&["--listen", &taken]), "--listen"),
        (
            stack::serve().args(&["--metrics-listen", &taken]),
            "--metrics-listen",
        ),
        (stack::sidecar().otlp_listen(&taken), "--otlp-listen"),
    ] {
        fails(launch, 1, &[flag, &taken]).await;
    }
    fails(
        stack::serve().args(&["--listen", "nowhere"]),
        2,
        &["--listen", "nowhere"],
    )
    .await;
    fails(
        stack::serve().env("METRICS_HOST_REQUEST_TIMEOUT", "soon"),
        2,
        &["--request-timeout", "soon"],
    )
    .await;
    fails(
        stack::sidecar().args(&["--state-dir", "/proc/none"]),
        1,
        &["/proc/none"],
    )
    .await;
    fails(
        stack::sidecar().args(&["--max-connections", "0"]),
        2,
        &["--max-connections", "0"],
    )
    .await;
    fails(
        stack::serve().args(&["--request-timeout", "30"]),
        2,
        &["--request-timeout", "30", "30ms"],
    )
    .await;
    fails(
        stack::serve().args(&["--request-timeout", "0s"]),
        2,
        &["METRICS_HOST_REQUEST_TIMEOUT"],
    )
    .await;
    fails(
        stack::serve().args(&["--max-body-size", "1 lot"]),
        2,
        &["--max-body-size", "1 lot"],
    )
    .await;
    fails(
        stack::sidecar().args(&["--log-level", "loud=quiet"]),
        2,
        &["METRICS_HOST_LOG_LEVEL", "loud"],
    )
    .await;
    fails(
        stack::sidecar().args(&["--log-level", "loud"]),
        2,
        &["--log-level", "\"loud\" is not a level"],
    )
    .await;
    for address in [
        "localhost",
        ":8080",
        "localhost:http",
        "::1:8080",
        "localhost:99999",
    ] {
        fails(
            stack::serve().args(&["--listen", address]),
            2,
            &["--listen", "METRICS_HOST_LISTEN", address, "HOST:PORT"],
        )
        .await;
    }
    fails(
        stack::sidecar().env("METRICS_HOST_GRAFANA_URL", "javascript:alert(1)"),
        2,
        &["--grafana-url", "javascript:alert(1)", "http://"],
    )
    .await;
    fails(stack::sidecar().args(&["--nonsense"]), 2, &["--nonsense"]).await;
}

#[tokio::test]
async fn names_sizes_and_times_are_taken_as_people_write_them() {
    let host = stack::serve()
        .env("METRICS_HOST_LISTEN", "localhost:0")
        .args(&["--max-body-size", "2 kB", "--request-timeout", "1m 30s"])
        .args(&["--log-level", "info,hyper=warn"])
        .start()
        .await
        .unwrap();
    for (size, status) in [(2000 - 11, 400), (2001 - 11, 413)] {
        let body = format!(r#"{{"name":"{}"}}"#, "n".repeat(size));
        let reply = client::send(host.api(), client::json("POST /items", body)).await;
        assert_eq!(reply.status, status, "{size}");
    }
}

#[tokio::test]
async fn an_application_is_counted_without_an_otlp_listener() {
    let off = stack::serve()
        .args(&["--otlp-listen", "off"])
        .start()
        .await
        .unwrap();
    assert_eq!(off.addresses().get("otlp"), None);
    assert_eq!(get(off.api(), "GET /").await.status, 200);
    let page = get(off.metrics(), "GET /").await;
    assert!(!page.text().contains("OTLP/HTTP ingest"), "{}", page.text());

    // If this fails, it is taken by another program.
    let _taken = TcpListener::bind("127.0.0.1:4318");
    let by_default = |launch: Launch| launch.without("METRICS_HOST_OTLP_LISTEN");
    for launch in [stack::serve(), stack::proxy(free_address())] {
        let host = by_default(launch).start().await.unwrap();
        assert_eq!(host.addresses().get("otlp"), None);
        let warned = |event: &Value| {
            let message = event["message"].as_str().unwrap_or_default();
            event["level"] == "WARN"
                && message.contains("--otlp-listen")
                && message.contains("4318")
        };
        host.logged("the taken port", warned).await.unwrap();
    }
    let asked_for = |launch: Launch| launch.otlp_listen("127.0.0.1:4318");
    for launch in [
        asked_for(stack::serve()),
        asked_for(stack::proxy(free_address())),
        by_default(stack::sidecar()),
    ] {
        fails(launch, 1, &["--otlp-listen", "127.0.0.1:4318"]).await;
    }
    fails(
        stack::sidecar().args(&["--otlp-listen", "off"]),
        2,
        &["--otlp-listen", "sidecar"],
    )
    .await;
}

#[tokio::test]
async fn telemetry_that_would_come_back_is_refused() {
    let otlp = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let launch = stack::serve()
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &otlp)
        .otlp_listen(&otlp);
    fails(launch, 2, &["counted twice", &otlp]).await;
}

#[tokio::test]
async fn a_state_directory_serves_one_process_at_a_time() {
    let first = stack::sidecar().start().await.unwrap();
    let second = stack::sidecar().state(&first.state);
    fails(second, 1, &["in use by another metrics-host"]).await;
    let other = stack::serve().state(&first.state);
    fails(other, 1, &["in use by another metrics-host"]).await;
    assert_eq!(get(first.metrics(), "GET /-/ready").await.status, 200);
}

#[tokio::test]
async fn a_damaged_state_is_named_and_kept() {
    let first = stack::sidecar().start().await.unwrap();
    let state = first.state.clone();
    let counters = state.path().join("state/counters");
    drop(first);
    fs::write(&counters, "damaged").unwrap();
    fails(
        stack::sidecar().state(&state),
        1,
        &["state/counters", "move it away"],
    )
    .await;
    assert_eq!(fs::read_to_string(&counters).unwrap(), "damaged");
}

#[tokio::test]
async fn compiled_code_is_kept_for_the_next_start() {
    // A state directory without the code that tests share.
    let state = Arc::new(tempfile::tempdir().unwrap());
    let first = stack::serve().state(&state).start().await.unwrap();
    let told = |event: &Value| event["message"] == "compiled";
    let line = first.logged("the compilation", told).await.unwrap();
    assert_eq!(line["component"], "items");
    for (field, unit) in [("size", "B"), ("took", "s")] {
        assert!(line[field].as_str().unwrap().ends_with(unit), "{line}");
    }
    let compiling = |event: &Value| {
        event["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("compiling"))
    };
    assert_eq!(first.count_logged(compiling), 1);
    let compiled = |state: &Path| {
        let entries = fs::read_dir(state.join("state/compiled/modules")).map(Iterator::count);
        entries.unwrap_or(0)
    };
    let before = compiled(state.path());
    assert!(before > 0, "nothing was kept");
    drop(first);
    let second = stack::serve().state(&state).start().await.unwrap();
    assert_eq!(get(second.api(), "GET /").await.status, 200);
    assert_eq!(compiled(state.path()), before);
    assert_eq!(
        second.count_logged(|event| told(event) || compiling(event)),
        0
    );
}

#[tokio::test]
async fn the_start_up_lines_say_what_is_served_where_and_what_to_try() {
    let host = stack::serve().start().await.unwrap();
    let ready = host
        .logged("ready", |event| event["message"] == "ready")
        .await
        .unwrap();
    for name in ["api", "metrics", "otlp"] {
        assert_eq!(ready[name], host.addresses()[name], "{name}");
    }
    let line = format!(
        "try: curl http://{api}/ http://{api}/items http://{api}/health/live && curl http://{}/metrics",
        host.metrics(),
        api = host.api(),
    );
    host.logged("what to try", |event| event["message"] == *line)
        .await
        .unwrap();
    let routes = tempfile::NamedTempFile::new().unwrap();
    fs::write(&routes, "POST /orders\nGET /orders/{id}\nGET /orders\n").unwrap();
    let shop = stack::proxy(free_address())
        .env("METRICS_HOST_ROUTES", routes.path().to_str().unwrap())
        .start()
        .await
        .unwrap();
    let line = format!(
        "try: curl http://{api}/orders http://{api}/ http://{api}/orders/1 && curl http://{}/metrics",
        shop.metrics(),
        api = shop.api(),
    );
    shop.logged("what to try", |event| event["message"] == *line)
        .await
        .unwrap();

    let sidecar = stack::sidecar().start().await.unwrap();
    assert_eq!(sidecar.addresses().get("api"), None);
    let line = format!("http://{} (OTLP)", sidecar.otlp());
    let told = |event: &Value| event["message"].as_str().is_some_and(|m| m.contains(&line));
    sidecar.logged("where to send", told).await.unwrap();
}

#[tokio::test]
async fn every_flag_is_explained_with_its_environment_variable() {
    for (subcommand, least) in [
        ("serve", 15),
        ("sidecar", 8),
        ("rules", 15),
        ("dashboards", 12),
        ("health", 1),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_metrics-host"))
            .args([subcommand, "--help"])
            .output()
            .unwrap();
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        // Lines are wrapped anywhere between words.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let flags: Vec<_> = help
            .split(' ')
            .filter_map(|word| word.strip_prefix("--"))
            .filter(|flag| !flag.contains("help"))
            .collect();
        assert!(flags.len() >= least, "{help}");
        for flag in flags {
            let variable = flag.replace('-', "_").to_uppercase();
            assert!(
                help.contains(&format!("[env: METRICS_HOST_{variable}=")),
                "--{flag}: {help}"
            );
        }
    }
}

#[tokio::test]
async fn a_flag_wins_over_its_environment_variable() {
    for (args, status) in [(&[][..], 413), (&["--max-body-size", "2KiB"][..], 400)] {
        let host = stack::serve()
            .env("METRICS_HOST_MAX_BODY_SIZE", "1KiB")
            .args(args)
            .start()
            .await
            .unwrap();
        let large = client::json("POST /items", vec![b' '; 1500]);
        assert_eq!(client::send(host.api(), large).await.status, status);
    }
}
