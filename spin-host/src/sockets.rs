//! Sockets of a component. The manifest decides where they may connect and send.

use spin_manifest::AllowedHosts;
use std::{net::SocketAddr, sync::Arc};
use wasmtime_wasi::{WasiCtxBuilder, sockets::SocketAddrUse};

/// Restricts sockets to the destinations that the manifest allows. Names cannot be looked up, as under Spin: a look-up
/// itself sends data out.
pub(crate) fn restrict(
    wasi: &mut WasiCtxBuilder,
    component: &Arc<str>,
    allowed: &Arc<AllowedHosts>,
) {
    let (component, allowed) = (Arc::clone(component), Arc::clone(allowed));
    wasi.allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(false)
        .socket_addr_check(move |address, purpose| {
            let permitted = permits(&component, &allowed, address, purpose);
            Box::pin(async move { permitted })
        });
}

fn permits(
    component: &str,
    allowed: &AllowedHosts,
    address: SocketAddr,
    purpose: SocketAddrUse,
) -> bool {
    // The operating system binds a socket to such an address before it connects or sends.
    let is_implicit = address.ip().is_unspecified() && address.port() == 0;
    let scheme = match purpose {
        SocketAddrUse::TcpConnect => "tcp",
        SocketAddrUse::UdpSend => "udp",
        SocketAddrUse::TcpBind => return is_implicit,
        SocketAddrUse::UdpBind if is_implicit => return allowed.allows_any_address("udp"),
        SocketAddrUse::UdpBind => "udp",
        // A socket that may send may have answers.
        SocketAddrUse::UdpReceive => return true,
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => return false,
    };
    let permitted = allowed.allows_address(scheme, address.ip(), address.port());
    if !permitted {
        tracing::warn!(
            component,
            add = format!("{scheme}://{address}"),
            "socket refused: not in allowed_outbound_hosts"
        );
    }
    permitted
}
