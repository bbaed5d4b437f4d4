//! The cases of Spin's conformance suite, in components of our own, under `serve` and under a real Spin.
//!
//! Spin has to pass them too: that shows that the cases expect the right thing. `make test-conformance` prints a table.

use crate::{
    client::{empty, request},
    servers::Servers,
    spin::{Spin, say},
    stack,
};
use anyhow::{Result, ensure};
use std::{fs, path::Path, sync::Arc, time::Duration};
use testkit::{
    http,
    wait::{Seen, Wait},
};

/// A request to an application of one component, and the response.
struct Case {
    /// The name that Spin's suite gives it.
    name: &'static str,
    /// The example of `conformance-component`.
    component: &'static str,
    /// Lines of the manifest that grant the component something.
    grants: &'static str,
    /// A header that tells the component an address; may be empty.
    address: (&'static str, &'static str),
    status: u16,
    body: &'static str,
}

/// A case that passes in the component: 200 and no body.
const fn passes(
    name: &'static str,
    component: &'static str,
    grants: &'static str,
    address: &'static str,
) -> Case {
    Case {
        name,
        component,
        grants,
        address: ("address", address),
        status: 200,
        body: "",
    }
}

/// A case in which the component is denied something: 500, and the error that it got.
const fn denied(
    name: &'static str,
    component: &'static str,
    grants: &'static str,
    address: &'static str,
    body: &'static str,
) -> Case {
    Case {
        status: 500,
        body,
        ..passes(name, component, grants, address)
    }
}

const DATABASE: &str =
    "host=localhost port={postgres} user=postgres password=postgres dbname=postgres";
const TCP_DENIED: &str = "access-denied (error 1)";

const CASES: [Case; 19] = [
    passes(
        "key-value",
        "key_value",
        "key_value_stores = ['default']",
        "",
    ),
    denied(
        "key-value-no-permission",
        "key_value",
        "",
        "",
        "Error::AccessDenied",
    ),
    passes(
        "outbound-mqtt",
        "mqtt",
        "allowed_outbound_hosts = ['mqtt://localhost:{mqtt}']",
        "mqtt://localhost:{mqtt}?client_id=conformance",
    ),
    denied(
        "outbound-mqtt-no-permission",
        "mqtt",
        "",
        "mqtt://localhost:1883?client_id=conformance",
        "Error::ConnectionFailed(\"address mqtt://localhost:1883?client_id=conformance is not permitted\")",
    ),
    passes(
        "outbound-redis",
        "redis",
        "allowed_outbound_hosts = ['redis://localhost:{redis}']",
        "redis://localhost:{redis}",
    ),
    denied(
        "outbound-redis-no-permission",
        "redis",
        "",
        "redis://localhost:{redis}",
        "Error::InvalidAddress",
    ),
    passes(
        "outbound-redis-variable-permission",
        "redis",
        "allowed_outbound_hosts = ['redis://{{ server }}:{redis}']
        [variables]
        server = { default = 'localhost' }",
        "redis://localhost:{redis}",
    ),
    Case {
        address: ("authority", "localhost:{http}"),
        body: "hello",
        ..passes(
            "outbound-wasi-http-v0.2.0",
            "http",
            "allowed_outbound_hosts = ['http://localhost:{http}']",
            "",
        )
    },
    Case {
        address: ("authority", "localhost:{http}"),
        ..denied(
            "outbound-wasi-http-v0.2.0-no-perms",
            "http",
            "",
            "",
            "ErrorCode::HttpRequestDenied",
        )
    },
    passes(
        "postgres",
        "postgres",
        "allowed_outbound_hosts = ['*://localhost:{postgres}']",
        DATABASE,
    ),
    passes("request-shape", "request", "", ""),
    passes("sqlite", "sqlite", "sqlite_databases = ['default']", ""),
    denied(
        "sqlite-no-permission",
        "sqlite",
        "",
        "",
        "Error::AccessDenied",
    ),
    passes(
        "tcp-sockets",
        "tcp",
        "allowed_outbound_hosts = ['*://127.0.0.1:{tcp}']",
        "127.0.0.1:{tcp}",
    ),
    passes(
        "tcp-sockets-ip-range",
        "tcp",
        "allowed_outbound_hosts = ['*://127.0.0.0/24:{tcp}']",
        "127.0.0.1:{tcp}",
    ),
    passes(
        "tcp-sockets-ip-range-variable-permission",
        "tcp",
        "allowed_outbound_hosts = ['*://{{ network }}/{{ prefix }}:{tcp}']
        [variables]
        network = { default = '127.0.0.0' }
        prefix = { default = '24' }",
        "127.0.0.1:{tcp}",
    ),
    denied(
        "tcp-sockets-no-ip-permission",
        "tcp",
        "allowed_outbound_hosts = ['*://127.0.0.2:{tcp}']",
        "127.0.0.1:{tcp}",
        TCP_DENIED,
    ),
    denied(
        "tcp-sockets-no-port-permission",
        "tcp",
        "allowed_outbound_hosts = ['*://127.0.0.1:1']",
        "127.0.0.1:{tcp}",
        TCP_DENIED,
    ),
    passes(
        "variables",
        "variables",
        "[component.case.variables]
        greeting = 'hello'",
        "",
    ),
];

/// The route and the target of every case; `request` expects them.
const ROUTE: &str = "/shop/:product/:part/...";
const TARGET: &str = "/shop/lamp/bulb/spare?colour=red";

/// Messages that the MQTT component publishes.
const MESSAGES: usize = 3;

impl Case {
    /// Writes its manifest to `directory`.
    fn write(&self, directory: &Path, servers: &Servers) {
        let component = format!(
            "target/wasm32-wasip2/component/examples/{}.wasm",
            self.component
        );
        let component = testkit::host::require(&component, "make conformance-components").unwrap();
        let manifest = format!(
            "spin_manifest_version = 2\napplication.name = 'conformance'\n\
            [[trigger.http]]\nroute = '{ROUTE}'\ncomponent = 'case'\n\
            [component.case]\nsource = '{}'\n{}\n",
            component.display(),
            servers.address(self.grants),
        );
        fs::write(directory.join("spin.toml"), manifest).unwrap();
    }

    /// Sends its request, and compares the response.
    async fn ask(&self, api: impl ToString, servers: &Servers) -> Result<()> {
        let (name, value) = self.address;
        let asked = request(&format!("GET {TARGET}"))
            .header("host", "example.com")
            .header(name, servers.address(value));
        let reply = http::send(api, empty(asked)).await?;
        let seen = (reply.status.as_u16(), reply.text());
        ensure!(seen == (self.status, self.body), "{seen:?}");
        let known = [
            "content-length",
            "content-type",
            "date",
            "transfer-encoding",
        ];
        let other = reply
            .headers
            .keys()
            .find(|name| !known.contains(&name.as_str()));
        ensure!(other.is_none(), "the response has a header {other:?}");
        ensure!(
            !self.body.is_empty() || reply.header("content-length") == Some("0"),
            "an empty body without its length: {:?}",
            reply.headers,
        );
        Ok(())
    }

    /// Runs it under `serve`.
    async fn served(&self, manifest: &Path, servers: &Servers) -> Result<()> {
        let host = stack::serve().manifest(manifest).start().await?;
        self.ask(host.api(), servers).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_passes_under_serve_and_under_spin() {
    let servers = Servers::start().await;
    let spin = Spin::version("conformance under Spin");
    let mut lines = vec![row("case", "serve", spin.as_deref().unwrap_or("Spin"))];
    let (mut failures, mut published) = (Vec::new(), 0);
    for case in &CASES {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let manifest = directory.path().join("spin.toml");
        case.write(directory.path(), &servers);
        let served = case.served(&manifest, &servers).await;
        let under_spin = match spin {
            Some(_) => {
                let spin = Spin::serve(&manifest, &[], &directory).await;
                Some(case.ask(spin.api, &servers).await)
            }
            None => None,
        };
        let results = [("serve", Some(served)), ("Spin", under_spin)];
        let cells = results.map(|(host, result)| match result {
            None => "not run",
            Some(Ok(())) => {
                published += MESSAGES * usize::from(case.name == "outbound-mqtt");
                "passed"
            }
            Some(Err(error)) => {
                failures.push(format!("{} under {host}: {error:#}", case.name));
                "failed"
            }
        });
        lines.push(row(case.name, cells[0], cells[1]));
    }
    say(&lines.join("\n"));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Wait::up_to(Duration::from_secs(10))
        .until("messages at the broker", async || {
            let lines = servers.mqtt.lines();
            let messages = lines
                .iter()
                .filter(|line| line.contains("Received PUBLISH"));
            let messages = messages.count();
            Ok(Seen::when(messages == published, messages))
        })
        .await
        .unwrap();
}

fn row(case: &str, serve: &str, spin: &str) -> String {
    format!("{case:42} {serve:8} {spin}")
}
