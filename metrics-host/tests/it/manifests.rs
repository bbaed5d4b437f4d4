//! Manifests in all their forms: static responses, routes, values from outside, and `check`.

use crate::{
    client::get,
    spin::Spin,
    stack::{self, workspace},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};
use testkit::process::Process;

/// Longest start of Spin.
const START: Duration = Duration::from_secs(60);

const FORMS: &str = r#"
spin_manifest_version = 2

[application]
name = "forms"
version = "1.2.3"

[[trigger.http]]
route = "/old"
static_response = { status_code = 302, headers = { location = "/new" }, body = "moved" }

[[trigger.http]]
route = "/..."
static_response = { body = "anything else" }

[[trigger.http]]
route = "/sync/*"
component = { source = "SYNCHRONOUS" }

[[trigger.http]]
route = { private = true }
component = "private"

[component.private]
source = "SYNCHRONOUS"

[component.unused]
source = "missing.wasm"
dependencies = { "a:b/c" = { export = "c" } }
"#;

/// Writes a manifest with the components of the workspace.
fn write(directory: &Path, text: &str) -> PathBuf {
    let wasm = workspace("target/wasm32-wasip2/component/synchronous_component.wasm");
    let path = directory.join("spin.toml");
    fs::write(&path, text.replace("SYNCHRONOUS", wasm.to_str().unwrap())).unwrap();
    path
}

#[tokio::test]
async fn static_responses_and_components_are_served_by_the_most_specific_route() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), FORMS);
    let launch = stack::serve_misbehaving().manifest(&path);
    let host = launch.start().await.unwrap();
    let moved = get(host.api(), "GET /old").await;
    assert_eq!((moved.status.as_u16(), moved.text()), (302, "moved"));
    assert_eq!(moved.headers["location"], "/new");
    for (line, expected) in [
        ("GET /any/thing", "anything else"),
        ("GET /private", "anything else"),
        ("GET /.well-known/spin/health", "OK"),
    ] {
        let reply = get(host.api(), line).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (200, expected),
            "{line}"
        );
    }
    let info = get(host.api(), "GET /.well-known/spin/info").await;
    let info: serde_json::Value = serde_json::from_str(info.text()).unwrap();
    assert_eq!(
        info,
        serde_json::json!({"name": "forms", "version": "1.2.3"})
    );
    let other = get(host.api(), "GET /.well-known/spin/other").await;
    assert_eq!(other.status, 404);
}

pub(crate) fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(stack::binary());
    command.arg("check").args(arguments).output().unwrap()
}

#[test]
fn check_says_everything_that_keeps_an_application_from_being_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), FORMS);
    let folder = directory.path().to_str().unwrap();
    let output = check(&[folder]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.ends_with("spin.toml: can be served\n"), "{said}");

    let text = FORMS
        .replace("component = \"private\"", "component = \"unused\"")
        .replace("/sync/*", "/*/sync")
        .replace("[component.private]", "[component.private]\ncolour = 1");
    fs::write(&path, text).unwrap();
    let output = check(&[folder]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (line, expected) in said.lines().zip([
        "line 17: trigger.http \"/*/sync\"",
        "line 25: component \"private\", colour",
        "line 30: component \"unused\", dependencies \"a:b/c\": needs one of `path`",
    ]) {
        assert!(line.contains(expected), "{line}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn values_of_variables_come_from_flags_the_environment_and_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let text = "
        spin_manifest_version = 2
        application.name = \"values\"
        variables.token = { required = true }
        [[trigger.http]]
        route = \"/...\"
        static_response = {}";
    fs::write(directory.path().join("spin.toml"), text).unwrap();
    let folder = directory.path().to_str().unwrap();
    let code = |arguments: &[&str]| check(arguments).status.code();
    assert_eq!(code(&[folder]), Some(1));
    assert_eq!(code(&[folder, "--variable", "token=x"]), Some(0));
    for (name, content) in [
        ("v.json", "{\"token\": \"x\"}"),
        ("v.toml", "token = \"x\""),
        ("v", "x"),
    ] {
        fs::write(directory.path().join(name), content).unwrap();
        let file = format!("@{folder}/{name}");
        let value = if name == "v" {
            format!("token={file}")
        } else {
            file
        };
        assert_eq!(code(&[folder, "--variable", &value]), Some(0), "{name}");
    }
    fs::write(directory.path().join(".env"), "SPIN_VARIABLE_TOKEN=x\n").unwrap();
    assert_eq!(code(&[folder]), Some(0));
}

/// A real Spin makes of each file of the corpus what its first line says.
#[tokio::test]
async fn spin_serves_and_refuses_the_corpus_as_its_files_say() {
    if Spin::version("the corpus of manifests").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let wasm = workspace("target/wasm32-wasip2/component/synchronous_component.wasm");
    fs::copy(wasm, directory.path().join("c.wasm")).unwrap();
    let corpus = workspace("spin-host/manifest/corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let source = entry.unwrap().path();
        let text = fs::read_to_string(&source).unwrap();
        let expected = text.lines().next().unwrap();
        if expected.starts_with("# Spin: not asked") {
            continue;
        }
        let manifest = directory.path().join("spin.toml");
        fs::write(&manifest, &text).unwrap();
        let found = if serves(directory.path()).await {
            "serves"
        } else {
            "refuses"
        };
        assert_eq!(format!("# Spin: {found}"), expected, "{}", source.display());
    }
}

/// Returns whether Spin serves the manifest in `directory`, rather than ending.
async fn serves(directory: &Path) -> bool {
    let mut command = Command::new("spin");
    command
        .args(["up", "--quiet", "--listen", "127.0.0.1:0"])
        .args(["--state-dir", "state"])
        .current_dir(directory);
    let mut spin = Process::start(command).unwrap();
    let serves = |line: &str| line.contains("Serving http").then_some(());
    let serves = spin.line("the address it serves", START, serves).await;
    if serves.is_err() {
        spin.end(START).await.unwrap();
    }
    serves.is_ok()
}
