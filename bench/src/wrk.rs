//! The load generator of part `serve`: wrk, which takes less from the server than one in Rust would.

use anyhow::{Context, Result, ensure};
use std::{net::SocketAddr, process::Command};

/// Returns the answers per second that `address` gives for `GET /`.
///
/// # Errors
/// If wrk is missing, fails, or was answered with errors.
pub(crate) fn measure(address: SocketAddr, connections: u32, seconds: u32) -> Result<f64> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .args([
            "--duration",
            &format!("{seconds}s"),
            &format!("http://{address}/"),
        ])
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(!text.contains("Non-2xx"), "errors were answered: {text}");
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate
        .with_context(|| format!("wrk gave no rate: {text}"))?
        .trim()
        .parse()?)
}
