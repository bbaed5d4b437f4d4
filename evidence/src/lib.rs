//! Proves that alerts work: drives a real system with real traffic, and watches its alerts.
//!
//! ```text
//! scenario → drill ─ traffic ──────────────→ service ─┐
//!              ├─ wait ← prometheus (alert's state) ←──┤ scrapes
//!              └─ wait ← service (notifications) ← forwarder ← alertmanager
//! schedule → conduct ─ drill, pictures → raw files → run ─┬→ report (charts, manifest, README)
//! ci ─ make's step records ────────────→ ci/record.json ──┘   verify: computes all of it again
//! ```
//!
//! It sees only what an operator sees: HTTP, and the documented names of metrics, alerts and files.

#![forbid(unsafe_code)]

pub mod args;
pub mod ci;
pub mod conduct;
pub mod digest;
pub mod drill;
pub mod environment;
#[cfg(test)]
mod fixture;
pub mod forwarder;
mod git;
pub mod manifest;
pub mod other;
pub mod pictures;
pub mod prometheus;
pub mod promql;
pub mod record;
pub mod redaction;
pub mod report;
pub mod rules;
pub mod run;
pub mod run_folder;
pub mod scenario;
pub mod schedule;
pub mod stack;
pub mod system;
pub mod traffic;
pub mod verify;
