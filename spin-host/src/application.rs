//! The components of an application, and the routing of requests to them.

use crate::{
    Observer,
    chaining::Neighbours,
    clients::Clients,
    database::Database,
    engine, files,
    instance::Component,
    key_value,
    limits::HostLimits,
    message::RequestBody,
    places::Places,
    pool::Pool,
    response::{self, Responded},
    route_headers::RouteHeaders,
    usage::Usage,
};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, uri::Scheme};
use http_body_util::{Either, Full};
use spin_manifest::{Handler, Manifest, StaticResponse, TriggerRoute, WELL_KNOWN};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The components of an application, ready to serve.
pub struct Application {
    triggers: Vec<Trigger>,
    /// The host's own routes, all below [`WELL_KNOWN`].
    well_known: Vec<Trigger>,
    /// SHA-256 of each component, with its id.
    digests: Vec<(String, [u8; 32])>,
    /// By the name of the component.
    usage: BTreeMap<String, Arc<Usage>>,
    /// The components, also those that only others reach.
    _pools: HashMap<String, Arc<Pool>>,
    neighbours: Arc<Neighbours>,
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
        let neighbours = Arc::new(Neighbours::new(limits.max_concurrent_requests));
        let mut components = manifest.components.values();
        let chains = components.any(|component| component.allowed_hosts.allows_components());
        // Each request of a client may wait for one of another component.
        let requests = limits.max_concurrent_requests * if chains { 2 } else { 1 };
        let (engine, cache) = engine::create(requests, &limits, &cache)
            .context("cannot start the WebAssembly engine")?;
        let downloads = state.join("downloads");
        let stop = watch::Sender::new(false);
        let alive = watch::Sender::new(());
        let mut databases = BTreeMap::new();
        let places = Places::new(state, &manifest.runtime)?;
        let mut digests = Vec::new();
        let mut usage = BTreeMap::<_, Arc<Usage>>::new();
        let mut pools = HashMap::new();
        for (id, component) in &manifest.components {
            let (exports, digest) = engine::load(&engine, &cache, component, &downloads)
                .await
                .with_context(|| format!("component {:?}", component.name))?;
            let limits = match exports.is_synchronous() {
                true => limits.with_instance_per_request(),
                false => limits,
            };
            digests.push((component.name.clone(), digest));
            let own_usage = Arc::clone(usage.entry(component.name.clone()).or_default());
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
                        .with_context(|| format!("component {:?}", component.name))?;
                    Some(copies)
                }
            };
            let name: Arc<str> = component.name.as_str().into();
            let allowed_hosts = Arc::new(component.allowed_hosts.clone());
            let component = Component {
                files,
                clients: Clients::new(&name, &allowed_hosts, &limits),
                id: name,
                variables: component.variables.clone(),
                environment: component.environment.clone(),
                allowed_hosts,
                neighbours: Arc::clone(&neighbours),
                databases: own_databases,
                key_value_stores: component.key_value_stores.clone(),
                key_values,
                limits,
                usage: own_usage,
                observer: Arc::clone(&observer),
            };
            let pool = Pool::new(
                engine.clone(),
                exports,
                component,
                Arc::clone(&observer),
                stop.subscribe(),
                alive.clone(),
            );
            // Find out now what would fail every request.
            let instance = pool.instantiate().await.map_err(anyhow::Error::from);
            drop(instance.with_context(|| {
                format!(
                    "component {:?}: cannot create an instance",
                    pool.component.id
                )
            })?);
            pools.insert(id.clone(), Arc::new(pool));
        }
        neighbours.introduce(&pools);
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
            usage,
            _pools: pools,
            neighbours,
            stop,
            alive,
        })
    }

    /// Sets the address at which clients, and the components themselves, reach the application.
    pub fn listen(&self, scheme: Scheme, address: SocketAddr) {
        self.neighbours.listen(scheme, address);
    }

    /// Returns the id of each component with the SHA-256 of its file.
    pub fn digests(&self) -> &[(String, [u8; 32])] {
        &self.digests
    }

    /// Returns the id of each component with the processor time and memory that it uses.
    pub fn usage(&self) -> &BTreeMap<String, Arc<Usage>> {
        &self.usage
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
        response::respond(instances, request, permit).await
    }

    /// Returns a handle that stops the instances.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            stop: self.stop.clone(),
            alive: self.alive.clone(),
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
            let database = Database::open(path, limits.statement(), limits.instance_memory)
                .with_context(|| format!("cannot open database {}", path.display()))?;
            entry.insert(database)
        }
    };
    Ok(Arc::clone(database))
}
