//! Free ports for servers that cannot take port 0.

use anyhow::{Context, Result};
use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

/// Below the ports that the kernel gives to connections (from 32768 on), which could take one between our look and the
/// server's.
const FIRST: u16 = 20_000;
/// How many there are to choose from.
const COUNT: u16 = 10_000;

/// Returns a port of the loopback address that is free, and that this process has not been given before.
///
/// # Errors
/// If all are taken.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that look at the same time begin at different places.
    let start = process::id().wrapping_mul(97) % u32::from(COUNT);
    (0..COUNT)
        .map(|_| {
            FIRST + ((start + u32::from(NEXT.fetch_add(1, Relaxed))) % u32::from(COUNT)) as u16
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .with_context(|| format!("no free port in {FIRST}..{}", FIRST + COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_or_while_it_is_taken() {
        let first = free().unwrap();
        let taken: Vec<_> = (1..4)
            .filter_map(|next| TcpListener::bind(("127.0.0.1", first + next)).ok())
            .collect();
        let second = free().unwrap();
        assert_ne!(first, second);
        let held = taken
            .iter()
            .map(|listener| listener.local_addr().unwrap().port());
        assert!(held.into_iter().all(|port| port != second));
    }
}
