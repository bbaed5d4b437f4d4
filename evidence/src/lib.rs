//! Proves that alerts work: drives a real system with real traffic and watches what becomes of it.
//!
//! ```text
//! scenario → drill ─ traffic ──────────────→ service ─┐
//!              ├─ wait ← prometheus (alert's state) ←──┤ scrapes
//!              └─ wait ← service (notifications) ← forwarder ← alertmanager
//!   run → conduct ─ drill, capture, pages → folder of the run
//! ```
//!
//! It sees only what an operator sees: HTTP, and the documented names of metrics, alerts and files.

#![deny(unsafe_code)]

pub mod alertmanager;
pub mod args;
pub mod browser;
pub mod capture;
pub mod chart;
pub mod child;
pub mod ci;
pub mod conduct;
pub mod connection;
pub mod digest;
pub mod drill;
pub mod environment;
pub mod exposition;
pub mod expression;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod forwarder;
mod git;
pub mod manifest;
pub mod pages;
pub mod port;
pub mod prometheus;
pub mod record;
pub mod redaction;
pub mod report;
pub mod rules;
pub mod run;
pub mod run_folder;
pub mod scenario;
pub mod service;
pub mod stack;
pub mod system;
pub mod tally;
pub mod timeline;
pub mod traffic;
pub mod url;
pub mod verify;
pub mod wait;
