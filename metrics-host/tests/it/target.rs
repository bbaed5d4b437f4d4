//! The service under test, for the cases that do not need a host of their own.

use crate::stack::{self, Host};
use std::{env, net::SocketAddr};
use tokio::sync::{Mutex, MutexGuard};

/// The service under test and its metrics.
pub(crate) struct Target {
    pub(crate) api: SocketAddr,
    pub(crate) metrics: SocketAddr,
    /// Whether it obeys `x-fault`.
    pub(crate) fault_injection: bool,
    _own: Option<Host>,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// Held by the case that uses a target from outside: requests of another case would be counted too.
static ALONE: Mutex<()> = Mutex::const_new(());

impl Target {
    /// Uses the service at `ITEMS_URL` and `METRICS_URL` if they are set; otherwise starts a host.
    pub(crate) async fn find() -> Self {
        match given() {
            Some((api, metrics)) => Self {
                api,
                metrics,
                fault_injection: env::var("ITEMS_DRILLS").is_ok_and(|drills| drills == "on"),
                _own: None,
                _alone: Some(ALONE.lock().await),
            },
            None => {
                let host = stack::serve().start().await.unwrap();
                Self {
                    api: host.api(),
                    metrics: host.metrics(),
                    fault_injection: true,
                    _own: Some(host),
                    _alone: None,
                }
            }
        }
    }
}

/// Returns the addresses of API and metrics from the environment, if they are set.
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
