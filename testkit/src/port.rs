//! Free addresses for servers that cannot be told port 0, or that must come back where they were.

use anyhow::{Context, Result};
use std::{
    net::{SocketAddr, TcpListener},
    ops::Range,
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Below the ephemeral ports (32768 and up on Linux): the kernel never gives one of these to an outgoing connection.
const PORTS: Range<u32> = 20_000..32_000;
/// Distance between the first ports of processes with adjacent ids.
const STRIDE: u32 = 97;

/// Returns a loopback address on which nobody listens. A process is never given the same one twice in 12 000 calls.
///
/// # Errors
/// If every port is taken.
pub fn free() -> Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that look at the same time start at different ports.
    let first = process::id().wrapping_mul(STRIDE);
    PORTS
        .map(|_| {
            let offset = first.wrapping_add(NEXT.fetch_add(1, Relaxed)) % PORTS.len() as u32;
            SocketAddr::from(([127, 0, 0, 1], (PORTS.start + offset) as u16))
        })
        .find(|address| TcpListener::bind(address).is_ok())
        .with_context(|| format!("no free port in {PORTS:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_or_while_it_is_taken() {
        let first = free().unwrap();
        let next = |offset| SocketAddr::new(first.ip(), first.port() + offset);
        let taken: Vec<_> = (1..4)
            .filter_map(|offset| TcpListener::bind(next(offset)).ok())
            .collect();
        let second = free().unwrap();
        assert_ne!(first, second);
        let mut taken = taken.iter().map(|listener| listener.local_addr().unwrap());
        assert!(taken.all(|address| address != second));
    }
}
