//! `proxy`: any HTTP application behind the edge.

use crate::{
    args::ListenAddress,
    command::{self, Command, FreeAddress},
    config::{ConfigError, load_routes},
};
use anyhow::Result;
use edge::{Edge, EdgeCounts, EdgeLimits, EdgeMetrics};
use metric::ApplicationInfo;
use proxy::{Authority, Forwarding, Proxy, ProxySettings};
use request_counts::Component;
use std::{
    ffi::OsString,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinHandle;

/// Configuration of the application behind the proxy.
#[derive(Debug)]
pub(crate) struct ProxyingConfig {
    pub(crate) listen: ListenAddress,
    /// Path of the routes file.
    pub(crate) routes: Option<PathBuf>,
    /// Address of the application; if it is not given, the command gets a free one.
    pub(crate) upstream: Option<Authority>,
    /// The command that starts the application; empty if it runs already.
    pub(crate) command: Vec<OsString>,
    pub(crate) application: String,
    pub(crate) timeout: Duration,
    pub(crate) edge: EdgeLimits,
    pub(crate) forwarding: Forwarding,
}

impl ProxyingConfig {
    /// Returns the name that the application has without `--application`: that of the working directory, as in Compose.
    pub(crate) fn default_application() -> String {
        let directory = std::env::current_dir().ok();
        let name = directory
            .as_deref()
            .and_then(|directory| directory.file_name());
        name.map_or_else(
            || "app".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Returns the component that counts everything.
    ///
    /// # Errors
    /// Fails if the application's name cannot be a label.
    pub(crate) fn owner(&self) -> Result<Component, ConfigError> {
        let name = &self.application;
        if !request_counts::is_legible(name, edge_counts::MAX_NAME_LEN) {
            return Err(ConfigError::ApplicationName { name: name.clone() });
        }
        Ok(Component::new(name, name))
    }
}

/// An application behind the proxy.
pub(crate) struct Proxied {
    pub(crate) edge: Edge<Proxy>,
    pub(crate) command: Option<Command>,
    timeout: Duration,
}

impl Proxied {
    /// Starts the command, if there is one, and waits until it listens. `own` is where this process listens for clients.
    ///
    /// # Errors
    /// Fails if the command cannot be started or ends, or if the application is this process itself.
    pub(crate) async fn start(
        config: ProxyingConfig,
        own: SocketAddr,
        counts: Arc<EdgeCounts>,
        metrics: EdgeMetrics,
        applications: &ApplicationInfo,
    ) -> Result<Self> {
        let routes = load_routes(config.routes.as_deref())?;
        let (upstream, free) = match config.upstream {
            Some(upstream) => (upstream, None),
            None => {
                let free = FreeAddress::find()?;
                (free.address.into(), Some(free))
            }
        };
        if leads_to(upstream.host_and_port(), own) {
            return Err(ConfigError::ProxyLoop { upstream }.into());
        }
        let command = match config.command.as_slice() {
            [] => None,
            words => {
                if free.is_none() {
                    command::ensure_free(upstream.host_and_port()).await?;
                }
                let mut command = Command::start(words, &upstream)?;
                command.until_it_listens(upstream.host_and_port()).await?;
                Some(command)
            }
        };
        applications.show(&config.application, &config.application, "", "");
        let proxy = Proxy::new(ProxySettings {
            upstream,
            application: config.application,
            timeout: config.timeout,
            forwarding: config.forwarding,
        });
        let (limits, timeout) = (config.edge, config.timeout);
        let edge = Edge::start(proxy, counts, routes, metrics, limits, timeout).await;
        Ok(Self {
            edge,
            command,
            timeout: config.timeout,
        })
    }

    /// Asks the application for its routes, as soon as it answers. Requests do not wait for it: applications may be away.
    pub(crate) fn list_routes(&self) -> JoinHandle<()> {
        let (edge, timeout) = (self.edge.clone(), self.timeout);
        tokio::spawn(async move { edge.list_routes(timeout).await })
    }
}

/// Returns whether a connection to `target` reaches the listener at `address`.
pub(crate) fn leads_to(target: impl ToSocketAddrs, address: SocketAddr) -> bool {
    let Ok(mut targets) = target.to_socket_addrs() else {
        return false;
    };
    targets.any(|target| {
        let everywhere = address.ip().is_unspecified() && target.ip().is_loopback();
        target.port() == address.port() && (target.ip() == address.ip() || everywhere)
    })
}
