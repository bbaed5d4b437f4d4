//! A component of the last release candidate of WASI 0.3 under `serve`, and the same answers from a real Spin.

use crate::{
    client::get,
    scrape::Scrape,
    spin::Spin,
    stack::{self, workspace},
};
use std::{fs, sync::Arc};
use testkit::host::require;

const CANDIDATE: &str = "target/wasm32-wasip2/component/candidate_component.wasm";

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_the_release_candidate_runs() {
    require(CANDIDATE, "make test-components").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("spin.toml");
    let component = workspace(CANDIDATE);
    let text = format!(
        "spin_manifest_version = 2\napplication = {{ name = \"candidate\" }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"candidate\"\n\
         [component.candidate]\nsource = \"{}\"\n",
        component.display()
    );
    fs::write(&manifest, text).unwrap();
    let host = stack::serve().manifest(&manifest).start().await.unwrap();
    let spin = match Spin::version("a component of the release candidate") {
        Some(_) => {
            let state = Arc::new(tempfile::tempdir().unwrap());
            Some(Spin::serve(&manifest, &[], &state).await)
        }
        None => None,
    };
    let cases = [
        ("GET /", 200, "fine"),
        ("GET /status", 418, "a body"),
        ("GET /long", 200, "xxx"),
        ("GET /panic", 500, ""),
        ("HEAD /", 200, ""),
        ("POST /length", 200, "0"),
    ];
    for (line, status, content) in cases {
        let answers = [Some(host.api()), spin.as_ref().map(|spin| spin.api)];
        for address in answers.into_iter().flatten() {
            let reply = get(address, line).await;
            assert_eq!(reply.status, status, "{line}: {}", reply.text());
            assert!(reply.text().contains(content), "{line}: {}", reply.text());
        }
    }
    let counts = Scrape::at_rest(host.metrics()).await.requests();
    assert_eq!(counts.total(), cases.len() as u64);
    assert_eq!(counts.with_status("500"), 1);
}
