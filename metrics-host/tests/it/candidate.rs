//! A component of the last release candidate of WASI 0.3 under `serve`, and the same answers from a real Spin.

use crate::{
    raw::Raw,
    scrape::Scrape,
    spin::Spin,
    stack::{self, workspace},
};
use std::{fs, net::SocketAddr, sync::Arc};
use testkit::host::require;

const CANDIDATE: &str = "target/wasm32-wasip2/component/candidate_component.wasm";

async fn answer(address: SocketAddr, request: &str) -> String {
    let request = format!("{request}\r\nhost: shop\r\nconnection: close\r\n\r\n");
    Raw::send(address, request).await.read().await
}

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
        ("GET / HTTP/1.1", "200", "fine"),
        ("GET /status HTTP/1.1", "418", "a body"),
        ("GET /long HTTP/1.1", "200", "xxx"),
        ("GET /panic HTTP/1.1", "500", ""),
        ("HEAD / HTTP/1.1", "200", ""),
        ("POST /length HTTP/1.1\r\ncontent-length: 0", "200", "0"),
    ];
    for (request, status, content) in cases {
        let answers = [Some(host.api()), spin.as_ref().map(|spin| spin.api)];
        for address in answers.into_iter().flatten() {
            let answered = answer(address, request).await;
            let head = format!("HTTP/1.1 {status} ");
            assert!(answered.starts_with(&head), "{request}: {answered}");
            assert!(answered.contains(content), "{request}: {answered}");
        }
    }
    let counts = Scrape::at_rest(host.metrics()).await.requests();
    assert_eq!(counts.total(), cases.len() as u64);
    assert_eq!(counts.with_status("500"), 1);
}
