//! The components of an application, and the routing of requests to them.

use crate::{
    Observer,
    body::ResponseBody,
    database::Database,
    engine, files,
    instance::Component,
    key_value,
    limits::HostLimits,
    message::RequestBody,
    outcome::InstanceOutcome,
    places::Places,
    pool::{NoResponse, Pool},
    queue::{Progress, RequestContext},
    route_headers::RouteHeaders,
};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{Either, Full};
use sha2::{Digest, Sha256};
use spin_manifest::{Handler, Manifest, StaticResponse, TriggerRoute, WELL_KNOWN};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, watch};
use wasmtime_wasi_http::handler::{ExpirationError, ProxyPre};

/// Time that the host waits beyond the deadline of the guest, so that the guest's own timeout comes first.
const GRACE: Duration = Duration::from_millis(250);
/// Longest wait for the id of a trap. It follows the trap at once.
const TRAP_TIMEOUT: Duration = Duration::from_secs(1);

/// The components of an application, ready to serve.
pub struct Application {
    triggers: Vec<Trigger>,
    /// The host's own routes, all below [`WELL_KNOWN`].
    well_known: Vec<Trigger>,
    /// SHA-256 of each component, with its id.
    digests: Vec<(String, [u8; 32])>,
    request_timeout: Duration,
    stop: watch::Sender<bool>,
    alive: watch::Sender<()>,
}

/// A route and what serves it.
pub struct Trigger {
    route: TriggerRoute,
    server: Server,
}

enum Server {
    Component {
        id: String,
        instances: Arc<Pool>,
        headers: RouteHeaders,
    },
    Static(Response<Bytes>),
}

impl Trigger {
    /// Returns the route as written in the manifest.
    pub fn route(&self) -> &str {
        self.route.as_str()
    }

    /// Returns the id of its component; empty if the host itself serves the route.
    pub fn component(&self) -> &str {
        match &self.server {
            Server::Component { id, .. } => id,
            Server::Static(_) => "",
        }
    }

    /// Sets the headers in which the component finds its route and the address of the client.
    pub fn set_headers<B>(&self, request: &mut Request<B>, client: SocketAddr) {
        if let Server::Component { headers, .. } = &self.server {
            headers.set(&self.route, request, client);
        }
    }

    fn fixed(route: TriggerRoute, fixed: &StaticResponse) -> Self {
        let mut response = Response::new(Bytes::from(fixed.body.clone()));
        *response.status_mut() = fixed.status;
        response.headers_mut().extend(fixed.headers.iter().cloned());
        Self {
            route,
            server: Server::Static(response),
        }
    }
}

/// Outcome of a request.
pub struct Responded {
    /// The response, complete unless it streams, or the failure.
    pub response: Result<Response<ResponseBody>, Failure>,
    /// Name of the instance that took the request.
    pub instance: Option<Arc<str>>,
    /// Headers of the response that the component began before it failed.
    pub unsent_head: Option<HeaderMap>,
}

/// The reason why a component returned no response, or did not complete its body.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The component took too long.
    #[error("the component did not answer in time")]
    Timeout,
    /// The engine has no free slot, or the component does not start.
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    /// The instance trapped, in this request or another.
    #[error("the component trapped")]
    Trap {
        /// Id of the trap, which is in the log with the guest's backtrace.
        id: Option<Arc<str>>,
    },
    /// The component returned an error.
    #[error("the component returned an error instead of a response: {0}")]
    Handler(String),
    /// The component ended a body with an error, or too early.
    #[error("the component did not complete the body: {0}")]
    Truncated(String),
}

impl Application {
    /// Compiles and links the components and opens their databases. The directory `state` holds databases and compiled
    /// code.
    ///
    /// # Errors
    /// Fails if a component cannot be hosted. The message names the component and the reason.
    pub async fn load(
        manifest: &Manifest,
        limits: HostLimits,
        state: &Path,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let cache = std::path::absolute(state.join("compiled"))?;
        let (engine, cache) =
            engine::create(&limits, &cache).context("cannot start the WebAssembly engine")?;
        let downloads = state.join("downloads");
        let stop = watch::Sender::new(false);
        let alive = watch::Sender::new(());
        let mut databases = BTreeMap::new();
        let places = Places::new(state, &manifest.runtime)?;
        let mut digests = Vec::new();
        let mut pools = HashMap::new();
        for (id, component) in &manifest.components {
            let (proxy, wasm) = engine::load(&engine, &cache, component, &downloads)
                .await
                .with_context(|| format!("component {id:?}"))?;
            let limits = match proxy {
                ProxyPre::P2(_) => limits.with_instance_per_request(),
                ProxyPre::P3(_) => limits,
            };
            digests.push((component.name.clone(), Sha256::digest(&*wasm).into()));
            let mut own_databases = HashMap::new();
            for name in &component.databases {
                let path = places.database(name);
                let database = open_database(&mut databases, path, limits)?;
                own_databases.insert(name.clone(), database);
            }
            let mut key_values = HashMap::new();
            for label in &component.key_value_stores {
                let path = places.key_value_store(label);
                let database = open_database(&mut databases, path, limits)?;
                key_value::create(&database).await?;
                key_values.insert(label.clone(), database);
            }
            let files = match component.files.mounts.as_slice() {
                [] => None,
                _ => {
                    let copies = state.join("files").join(id);
                    files::copy(&component.files, &copies)
                        .with_context(|| format!("component {id:?}"))?;
                    Some(copies)
                }
            };
            let component = Component {
                files,
                id: component.name.as_str().into(),
                variables: component.variables.clone(),
                environment: component.environment.clone(),
                allowed_hosts: Arc::new(component.allowed_hosts.clone()),
                databases: own_databases,
                key_value_stores: component.key_value_stores.clone(),
                key_values,
                limits,
            };
            let pool = Pool::new(
                engine.clone(),
                proxy,
                component,
                Arc::clone(&observer),
                stop.subscribe(),
                alive.clone(),
            );
            // Find out now what would fail every request.
            let instance = pool.instantiate().await.map_err(anyhow::Error::from);
            drop(instance.with_context(|| format!("component {id:?}: cannot create an instance"))?);
            pools.insert(id, Arc::new(pool));
        }
        let mut triggers: Vec<_> = manifest
            .triggers
            .iter()
            .map(|trigger| match &trigger.handler {
                Handler::Component(id) => Trigger {
                    route: trigger.route.clone(),
                    server: Server::Component {
                        id: manifest.components[id].name.clone(),
                        instances: Arc::clone(&pools[id]),
                        headers: RouteHeaders::of(&trigger.route),
                    },
                },
                Handler::Static(fixed) => Trigger::fixed(trigger.route.clone(), fixed),
            })
            .collect();
        triggers.sort_by_cached_key(|trigger| trigger.route.precedence());
        let well_known = manifest.well_known().into_iter();
        let well_known = well_known.map(|(route, fixed)| Trigger::fixed(route, &fixed));
        Ok(Self {
            triggers,
            well_known: well_known.collect(),
            digests,
            request_timeout: limits.request_timeout,
            stop,
            alive,
        })
    }

    /// Returns the id of each component with the SHA-256 of its file.
    pub fn digests(&self) -> &[(String, [u8; 32])] {
        &self.digests
    }

    /// Returns the triggers of the application by precedence.
    pub fn triggers(&self) -> &[Trigger] {
        &self.triggers
    }

    /// Returns the trigger for `path`.
    pub fn trigger(&self, path: &str) -> Option<&Trigger> {
        if path.starts_with(WELL_KNOWN) {
            // These paths belong to the host, whatever the application's routes are.
            return self
                .well_known
                .iter()
                .find(|trigger| trigger.route() == path);
        }
        self.triggers
            .iter()
            .find(|trigger| trigger.route.matches(path))
    }

    /// Sends `request` to the component of `trigger` and returns the outcome. The permit is released once the guest has
    /// answered or timed out, even if the caller left earlier. A response that streams keeps it until its end.
    pub async fn respond(
        &self,
        trigger: &Trigger,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> Responded {
        let instances = match &trigger.server {
            Server::Component { instances, .. } => instances,
            Server::Static(response) => {
                return Responded {
                    response: Ok(response.clone().map(|body| Either::Left(Full::new(body)))),
                    instance: None,
                    unsent_head: None,
                };
            }
        };
        let progress = Arc::new(Progress::default());
        let context = RequestContext {
            permit,
            progress: Arc::clone(&progress),
        };
        let handled = instances.handle(context, request);
        let handled = tokio::time::timeout(self.request_timeout + GRACE, handled).await;
        let taken_by = progress.taken_by.get();
        let response = match handled {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Failure::of(error, taken_by).await),
            Err(_) => Err(Failure::Timeout),
        };
        Responded {
            response,
            instance: taken_by.map(|outcome| Arc::clone(&outcome.instance)),
            unsent_head: progress.unsent_head.get().cloned(),
        }
    }

    /// Returns a handle that stops the instances.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            stop: self.stop.clone(),
            alive: self.alive.clone(),
        }
    }
}

impl Failure {
    async fn of(error: wasmtime::Error, taken_by: Option<&Arc<InstanceOutcome>>) -> Self {
        if error.is::<ExpirationError>() || taken_by.is_some_and(|outcome| outcome.is_expired()) {
            return Self::Timeout;
        }
        match error.downcast_ref::<NoResponse>() {
            Some(NoResponse::NoInstance(reason)) => Self::Instantiation(reason.clone()),
            Some(NoResponse::Truncated(reason)) => Self::Truncated(reason.clone()),
            Some(NoResponse::InstanceFailed) => Self::of_instance(taken_by).await,
            None if error.is::<wasmtime::Trap>() => Self::of_instance(taken_by).await,
            None => Self::Handler(format!("{error:#}")),
        }
    }

    /// Classifies the failure of an instance in the middle of a request.
    async fn of_instance(taken_by: Option<&Arc<InstanceOutcome>>) -> Self {
        let trap = async { taken_by?.trap().await };
        let id = tokio::time::timeout(TRAP_TIMEOUT, trap)
            .await
            .ok()
            .flatten();
        if taken_by.is_some_and(|outcome| outcome.is_expired()) {
            Self::Timeout
        } else {
            Self::Trap { id }
        }
    }
}

/// Handle that stops the instances of an application.
pub struct Stopper {
    stop: watch::Sender<bool>,
    alive: watch::Sender<()>,
}

impl Stopper {
    /// Ends every instance once its background work, such as sending telemetry, is done. Waits at most `grace`.
    pub async fn stop(self, grace: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(grace, self.alive.closed())
            .await
            .is_err()
        {
            tracing::warn!("abandoning instances that are still busy after {grace:?}");
        }
    }
}

fn open_database(
    open: &mut BTreeMap<PathBuf, Arc<Database>>,
    path: PathBuf,
    limits: HostLimits,
) -> Result<Arc<Database>> {
    let database = match open.entry(path) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            let path = entry.key();
            let database = Database::open(path, limits.request_timeout, limits.instance_memory)
                .with_context(|| format!("cannot open database {}", path.display()))?;
            entry.insert(database)
        }
    };
    Ok(Arc::clone(database))
}
