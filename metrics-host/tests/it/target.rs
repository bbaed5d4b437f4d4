//! What the cases that need no host of their own run against.

use crate::stack::{Host, Launch};
use std::{env, net::SocketAddr};
use tokio::sync::{Mutex, MutexGuard};

/// The service under test and the metrics of it.
pub(crate) struct Target {
    pub(crate) api: SocketAddr,
    pub(crate) metrics: SocketAddr,
    /// Whether drills are allowed there.
    pub(crate) drills: bool,
    _own: Option<Host>,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// Held by the case that uses the target from outside: what another sends meanwhile would be counted, too.
static ALONE: Mutex<()> = Mutex::const_new(());

impl Target {
    /// Takes what `ITEMS_URL` and `METRICS_URL` name, or starts a host.
    pub(crate) async fn find() -> Self {
        match given() {
            Some((api, metrics)) => Self {
                api,
                metrics,
                drills: env::var("ITEMS_DRILLS").is_ok_and(|drills| drills == "on"),
                _own: None,
                _alone: Some(ALONE.lock().await),
            },
            None => {
                let host = Launch::serve().start().await;
                Self {
                    api: host.api(),
                    metrics: host.metrics(),
                    drills: true,
                    _own: Some(host),
                    _alone: None,
                }
            }
        }
    }
}

/// Returns the addresses of API and metrics that the suite is to run against, if it is told any.
fn given() -> Option<(SocketAddr, SocketAddr)> {
    match (env::var("ITEMS_URL"), env::var("METRICS_URL")) {
        (Ok(items), Ok(metrics)) => Some((
            address("ITEMS_URL", &items),
            address("METRICS_URL", &metrics),
        )),
        (Err(_), Err(_)) => None,
        _ => panic!("set both ITEMS_URL and METRICS_URL, or neither"),
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
