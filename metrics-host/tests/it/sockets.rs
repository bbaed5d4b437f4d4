//! Sockets of a component, which `allowed_outbound_hosts` grants by address.

use crate::{
    client::get,
    spin::Spin,
    stack::{self, MISBEHAVING, workspace},
};
use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Listeners that the manifest grants, and others that it does not.
struct Peers {
    tcp: TcpListener,
    udp: UdpSocket,
    other_tcp: TcpListener,
    other_udp: UdpSocket,
}

impl Peers {
    fn new() -> Self {
        const ANY: &str = "127.0.0.1:0";
        Self {
            tcp: TcpListener::bind(ANY).unwrap(),
            udp: UdpSocket::bind(ANY).unwrap(),
            other_tcp: TcpListener::bind(ANY).unwrap(),
            other_udp: UdpSocket::bind(ANY).unwrap(),
        }
    }

    /// Writes a manifest that grants the TCP socket by network, and the UDP socket by address and a range of ports. Spin
    /// wants a grant for the address that a UDP socket is bound to, too.
    fn manifest(&self, directory: &Path) -> PathBuf {
        let (tcp, udp) = (
            self.tcp.local_addr().unwrap(),
            self.udp.local_addr().unwrap(),
        );
        let component = workspace(MISBEHAVING);
        let text = format!(
            r#"
            spin_manifest_version = 2
            application.name = "sockets"
            variables.network.default = "127.0.0.0/8"
            [[trigger.http]]
            route = "/..."
            component = "sockets"
            [component.sockets]
            source = {:?}
            allowed_outbound_hosts = [
                "tcp://{{{{ network }}}}:{}",
                "udp://127.0.0.1:{}..{}",
                "udp://0.0.0.0:0",
            ]"#,
            component.display(),
            tcp.port(),
            udp.port(),
            udp.port() + 1,
        );
        let path = directory.join("spin.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Attempts, and whether each is allowed.
    fn attempts(&self) -> Vec<(String, bool)> {
        let (tcp, udp) = (
            self.tcp.local_addr().unwrap(),
            self.udp.local_addr().unwrap(),
        );
        let other_tcp = self.other_tcp.local_addr().unwrap();
        let other_udp = self.other_udp.local_addr().unwrap();
        let mut attempts = Vec::new();
        for version in ["", "/0.3"] {
            for (attempt, allowed) in [
                (format!("connect?{tcp}"), true),
                (format!("connect?{other_tcp}"), false),
                (format!("connect?{udp}"), false),
                (format!("send?{udp}"), true),
                (format!("send?{other_udp}"), false),
                (format!("send?{tcp}"), false),
            ] {
                attempts.push((format!("GET {version}/{attempt}"), allowed));
            }
        }
        for attempt in [
            "listen?127.0.0.1:0",
            "bind?127.0.0.1:0",
            "resolve?localhost:80",
        ] {
            attempts.push((format!("GET /{attempt}"), false));
        }
        attempts.push(("GET /0.3/resolve?localhost".into(), false));
        attempts
    }

    async fn try_all(&self, api: SocketAddr) {
        for (line, allowed) in self.attempts() {
            let reply = get(api, &line).await;
            let expected = if allowed { "allowed" } else { "refused" };
            assert!(
                reply.text().starts_with(expected),
                "{line}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn sockets_reach_exactly_what_the_manifest_allows() {
    let peers = Peers::new();
    let directory = tempfile::tempdir().unwrap();
    let launch = stack::serve_misbehaving().manifest(&peers.manifest(directory.path()));
    let host = launch.start().await.unwrap();
    peers.try_all(host.api()).await;
    // The log has the line that would allow it.
    let address = peers.other_tcp.local_addr().unwrap();
    let refused = host.logged("the refusal", |event| {
        event["component"] == "sockets" && event["add"] == format!("tcp://{address}")
    });
    let refused = refused.await.unwrap();
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("not in allowed_outbound_hosts"),
        "{message}"
    );
}

#[tokio::test]
async fn a_real_spin_allows_the_same_sockets() {
    if Spin::version("sockets").is_none() {
        return;
    }
    let peers = Peers::new();
    let directory = tempfile::tempdir().unwrap();
    let manifest = peers.manifest(directory.path());
    let state = Arc::new(tempfile::tempdir().unwrap());
    let spin = Spin::serve(&manifest, &[], &state).await;
    peers.try_all(spin.api).await;
}
