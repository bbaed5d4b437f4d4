//! A TCP connection to an address that the request names, which sends back what it gets.

#![cfg(target_arch = "wasm32")]

use conformance_component::{Failure, ensure, header};
use std::{
    io::{Read, Write},
    net::SocketAddrV4,
};
use wasip2::{
    http::types::IncomingRequest,
    sockets::{
        instance_network::instance_network,
        network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress},
        tcp_create_socket::create_tcp_socket,
    },
};

conformance_component::case!(handle);

fn handle(request: &IncomingRequest) -> Result<(), Failure> {
    let address: SocketAddrV4 = header(request, "address")?.parse()?;
    let (a, b, c, d) = address.ip().octets().into();
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: address.port(),
        address: (a, b, c, d),
    });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), address)?;
    let (mut received, mut sent) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            connected => break connected?,
        }
    };
    for message in [&b"a first message"[..], b"and a second"] {
        sent.write_all(message)?;
        sent.flush()?;
        let mut echo = vec![0; message.len()];
        received.read_exact(&mut echo)?;
        ensure!(echo == message);
    }
    Ok(())
}
