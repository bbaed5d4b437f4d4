//! `--runtime-config-file`: the file of `spin up`.

use crate::{
    client::{get, json, send},
    manifests::check,
    stack,
    startup::fails,
};
use std::{fs, path::Path, sync::Arc};
use testkit::host::Launch;

/// Writes the file, for a `serve` of the items component.
fn launch(directory: &Path, text: &str) -> Launch {
    let file = directory.join("runtime.toml");
    fs::write(&file, text).unwrap();
    stack::serve().args(&["--runtime-config-file", file.to_str().unwrap()])
}

#[tokio::test]
async fn a_database_is_where_the_file_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/app.db");
    let kept = format!("[sqlite_database.default]\ntype = \"spin\"\npath = {path:?}\n");
    let same = Arc::new(tempfile::tempdir().unwrap());
    let memory = "[sqlite_database.default]\ntype = \"spin\"\n".to_owned();
    for (text, state, expected) in [
        (&kept, None, 404),
        (&kept, None, 200),
        (&memory, Some(&same), 404),
        (&memory, Some(&same), 404),
    ] {
        let launch = launch(directory.path(), text);
        let launch = match state {
            Some(state) => launch.state(state),
            None => launch,
        };
        let host = launch.start().await.unwrap();
        let found = get(host.api(), "GET /items/1").await;
        assert_eq!(found.status, expected, "{text}");
        let created = send(host.api(), json("POST /items", r#"{"name":"a"}"#)).await;
        assert_eq!(created.status, 201);
    }
    assert!(path.is_file());
}

#[tokio::test]
async fn what_does_not_exist_here_is_refused_by_serve_and_by_check() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[key_value_store.default]\ntype = \"redis\"\nurl = \"redis://localhost\"\n\n[llm_compute]\ntype = \"spin\"\n";
    let refused = launch(directory.path(), text);
    let expected = [
        "runtime.toml: line 1: key_value_store.default: type \"redis\" is not supported",
        "and 1 more",
    ];
    fails(refused, 2, &expected).await;
    let file = directory.path().join("runtime.toml");
    let file = file.to_str().unwrap();
    let manifest = stack::workspace("spin.toml");
    let arguments = [manifest.to_str().unwrap(), "--runtime-config-file", file];
    let output = check(&arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{file}: line 1: key_value_store.default: ")),
        "{said}"
    );
    assert!(
        lines[1].starts_with(&format!("{file}: line 5: llm_compute: not supported")),
        "{said}"
    );
    fs::write(file, "state_dir = \"x\"\n").unwrap();
    let output = check(&arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("runtime.toml: warning: line 1: state_dir: no effect"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
}
