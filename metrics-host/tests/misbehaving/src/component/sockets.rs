//! Sockets of WASI 0.2, as the standard library has them, and of WASI 0.3.

use spin_sdk::wasip3::sockets::{
    ip_name_lookup::resolve_addresses,
    types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket},
};
use std::{
    fmt::Debug,
    net::{self, IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
};

/// Returns what becomes of the attempt at `path`, if it is one with sockets. `target` is an address, or a name with a port.
pub(super) async fn outcome(path: &str, target: &str) -> Option<String> {
    Some(match path {
        "/connect" => said(TcpStream::connect(target)),
        "/send" => {
            said(net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", target)))
        }
        "/bind" => said(net::UdpSocket::bind(target)),
        "/listen" => said(net::TcpListener::bind(target)),
        "/resolve" => said(target.to_socket_addrs()),
        "/0.3/connect" => {
            let socket = TcpSocket::create(IpAddressFamily::Ipv4).unwrap();
            said(socket.connect(address(target)).await)
        }
        "/0.3/send" => {
            let socket = UdpSocket::create(IpAddressFamily::Ipv4).unwrap();
            said(socket.send(b"x".to_vec(), Some(address(target))).await)
        }
        "/0.3/resolve" => said(resolve_addresses(target.to_owned()).await),
        _ => return None,
    })
}

fn said<T, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "allowed".into(),
        Err(error) => format!("refused: {error:?}"),
    }
}

fn address(text: &str) -> IpSocketAddress {
    let address: SocketAddr = text.parse().unwrap();
    let IpAddr::V4(ip) = address.ip() else {
        panic!("{text} is no address of IPv4");
    };
    let [a, b, c, d] = ip.octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: address.port(),
        address: (a, b, c, d),
    })
}
