//! What the cases that need no host of their own run against.

use crate::stack::{Host, Launch};
use std::{env, net::SocketAddr};

/// The service under test and the metrics of it.
pub(crate) struct Target {
    pub(crate) api: SocketAddr,
    pub(crate) metrics: SocketAddr,
    /// Whether drills are allowed there.
    pub(crate) drills: bool,
    _own: Option<Host>,
}

impl Target {
    /// Takes what `ITEMS_URL` and `METRICS_URL` name, or starts a host.
    pub(crate) async fn find() -> Self {
        match (env::var("ITEMS_URL"), env::var("METRICS_URL")) {
            (Ok(items), Ok(metrics)) => Self {
                api: address("ITEMS_URL", &items),
                metrics: address("METRICS_URL", &metrics),
                drills: env::var("ITEMS_DRILLS").is_ok(),
                _own: None,
            },
            (Err(_), Err(_)) => {
                let host = Launch::serve().start().await;
                Self {
                    api: host.api(),
                    metrics: host.metrics(),
                    drills: true,
                    _own: Some(host),
                }
            }
            _ => panic!("set both ITEMS_URL and METRICS_URL, or neither"),
        }
    }
}

fn address(name: &str, url: &str) -> SocketAddr {
    let authority = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    authority
        .and_then(|authority| authority.parse().ok())
        .unwrap_or_else(|| panic!("{name}: expected http://ADDRESS:PORT, got {url}"))
}
