//! The components of a manifest, and which of them answers where.

use crate::{
    Observer,
    database::Database,
    engine,
    instance::Component,
    limits::HostLimits,
    message::{RequestBody, ResponseBody},
    outcome::InstanceOutcome,
    pool::{NoResponse, Pool},
    queue::RequestContext,
};
use anyhow::{Context, Result};
use http::{Request, Response};
use sha2::{Digest, Sha256};
use spin_manifest::{Manifest, TriggerRoute};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, watch};
use wasmtime_wasi_http::handler::ExpirationError;

/// How much longer than the guest's deadline the host waits, so that the guest's comes first.
const GRACE: Duration = Duration::from_millis(250);
/// How long the reason of a trap is awaited. It follows the trap at once.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// The components of a manifest, ready to answer.
pub struct Application {
    triggers: Vec<Trigger>,
    /// SHA-256 of each component by its id.
    digests: Vec<(String, [u8; 32])>,
    request_timeout: Duration,
    stop: watch::Sender<bool>,
    alive: watch::Sender<()>,
}

/// A route and the component that answers it.
pub struct Trigger {
    route: TriggerRoute,
    instances: Arc<Pool>,
}

impl Trigger {
    /// Returns the route as the manifest has it.
    pub fn route(&self) -> &str {
        self.route.as_str()
    }
}

/// What became of a request.
pub struct Responded {
    /// The response, complete or too long to wait for, or the reason why there is none.
    pub response: Result<Response<ResponseBody>, Failure>,
    /// Name of the instance that took the request.
    pub instance: Option<Arc<str>>,
}

/// Why a component did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It took too long.
    #[error("the component did not answer in time")]
    Timeout,
    /// The engine has no room, or the component does not start.
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    /// The instance trapped, during this request or another.
    #[error("the component trapped")]
    Trap {
        /// The reason with the guest's backtrace.
        backtrace: Option<Arc<str>>,
    },
    /// The component returned an error.
    #[error("the component gave an error instead of a response: {0}")]
    Handler(String),
}

impl Application {
    /// Compiles and links the components and opens their databases. Databases and compiled code are kept in `state`.
    ///
    /// # Errors
    /// If a component cannot be hosted; the message names it and says why.
    pub async fn load(
        manifest: &Manifest,
        limits: HostLimits,
        state: &Path,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let cache = std::path::absolute(state.join("compiled"))?;
        let engine =
            engine::create(&limits, &cache).context("cannot start the WebAssembly engine")?;
        let stop = watch::Sender::new(false);
        let alive = watch::Sender::new(());
        let mut databases = BTreeMap::new();
        let mut digests = Vec::new();
        let mut pools = HashMap::new();
        for (id, component) in &manifest.components {
            let (proxy, wasm) = engine::load(
                &engine,
                &component.source,
                component.build_command.as_deref(),
            )
            .with_context(|| format!("component {id:?}"))?;
            digests.push((id.clone(), Sha256::digest(&wasm).into()));
            let mut own_databases = HashMap::new();
            for name in &component.databases {
                let path = state.join(format!("{name}.sqlite"));
                let database = open_database(&mut databases, path, limits)?;
                own_databases.insert(name.clone(), database);
            }
            let component = Component {
                id: id.as_str().into(),
                variables: component.variables.clone(),
                environment: component.environment.clone(),
                allowed_hosts: Arc::new(component.allowed_hosts.clone()),
                databases: own_databases,
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
            // An error that every request would meet is an error here.
            let instance = pool.instantiate().await.map_err(anyhow::Error::from);
            drop(instance.with_context(|| format!("component {id:?}: cannot create an instance"))?);
            pools.insert(id, Arc::new(pool));
        }
        let mut triggers: Vec<_> = manifest
            .triggers
            .iter()
            .map(|trigger| Trigger {
                route: trigger.route.clone(),
                instances: Arc::clone(&pools[&trigger.component]),
            })
            .collect();
        triggers.sort_by_key(|trigger| std::cmp::Reverse(trigger.route.specificity()));
        Ok(Self {
            triggers,
            digests,
            request_timeout: limits.request_timeout,
            stop,
            alive,
        })
    }

    /// Returns the SHA-256 of each component's file by the component's id.
    pub fn digests(&self) -> &[(String, [u8; 32])] {
        &self.digests
    }

    /// Returns the triggers, the most specific route first.
    pub fn triggers(&self) -> &[Trigger] {
        &self.triggers
    }

    /// Returns the most specific trigger for `path`.
    pub fn trigger(&self, path: &str) -> Option<&Trigger> {
        self.triggers
            .iter()
            .find(|trigger| trigger.route.matches(path))
    }

    /// Has the component of `trigger` answer `request`. The permit is given back once the guest has answered or its
    /// time is up, even if the caller left.
    pub async fn respond(
        &self,
        trigger: &Trigger,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> Responded {
        let taken_by = Arc::new(OnceLock::new());
        let context = RequestContext {
            permit,
            taken_by: Arc::clone(&taken_by),
        };
        let handled = trigger.instances.handle(context, request);
        let handled = tokio::time::timeout(self.request_timeout + GRACE, handled).await;
        let taken_by = taken_by.get();
        Responded {
            response: match handled {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(Failure::of(error, taken_by).await),
                Err(_) => Err(Failure::Timeout),
            },
            instance: taken_by.map(|outcome| Arc::clone(&outcome.instance)),
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
            Some(NoResponse::InstanceFailed) => Self::of_instance(taken_by).await,
            None if error.is::<wasmtime::Trap>() => Self::of_instance(taken_by).await,
            None => Self::Handler(format!("{error:#}")),
        }
    }

    /// Returns why an instance failed in the middle of a request.
    async fn of_instance(taken_by: Option<&Arc<InstanceOutcome>>) -> Self {
        let reason = async { taken_by?.failure().await };
        let backtrace = tokio::time::timeout(REASON_TIMEOUT, reason)
            .await
            .ok()
            .flatten();
        if taken_by.is_some_and(|outcome| outcome.is_expired()) {
            Self::Timeout
        } else {
            Self::Trap { backtrace }
        }
    }
}

/// Stops the instances of an application.
pub struct Stopper {
    stop: watch::Sender<bool>,
    alive: watch::Sender<()>,
}

impl Stopper {
    /// Ends every instance once it has finished the work after its responses, such as sending telemetry. Waits at most
    /// `grace`.
    pub async fn stop(self, grace: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(grace, self.alive.closed())
            .await
            .is_err()
        {
            tracing::warn!("giving up instances that still work after {grace:?}");
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
