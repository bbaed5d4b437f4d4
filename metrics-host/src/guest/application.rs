//! The components of a manifest, and which of them answers where.

use super::{
    Manifest, database::Database, describe, engine, instance::Component, limits::GuestLimits,
    pool::Pool, route::TriggerRoute,
};
use crate::{edge_counts::EdgeCounts, self_stats::SelfStats, state_dir::StateDir};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};
use telemetry::{Route, RouteCatalogue, attribute};
use tokio::sync::watch;

/// What the host itself may answer in a component's place: these exist at 0 from the start.
const HOST_ANSWERS: [(&str, u16); 8] = [
    ("GET", 499),
    ("GET", 500),
    ("GET", 503),
    ("GET", 504),
    ("POST", 499),
    ("POST", 500),
    ("POST", 503),
    ("POST", 504),
];

/// The components of a manifest, ready to answer.
pub struct Application {
    triggers: Vec<Trigger>,
    /// Whether the components understand the host's questions.
    inline: bool,
    limits: GuestLimits,
    stop: watch::Sender<bool>,
    alive: watch::Sender<()>,
}

/// A route and who answers it.
pub(super) struct Trigger {
    pub route: String,
    pattern: TriggerRoute,
    pub instances: Arc<Pool>,
}

impl Application {
    /// Compiles and links the components, opens their databases, and shows the application in `stats`.
    ///
    /// # Errors
    /// If a component cannot be hosted; the message names it and says why.
    pub async fn load(
        manifest: &Manifest,
        limits: GuestLimits,
        state: &StateDir,
        counts: &Arc<EdgeCounts>,
        stats: &Arc<SelfStats>,
    ) -> Result<Self> {
        let cache = std::path::absolute(state.join("compiled"))?;
        let engine =
            engine::create(&limits, &cache).context("cannot start the WebAssembly engine")?;
        let stop = watch::Sender::new(false);
        let alive = watch::Sender::new(());
        let mut databases = BTreeMap::new();
        let mut pools = HashMap::new();
        for (id, component) in &manifest.components {
            let (proxy, wasm) = engine::load(
                &engine,
                &component.source,
                component.build_command.as_deref(),
            )
            .with_context(|| format!("component {id:?}"))?;
            let digest = Sha256::digest(&wasm);
            let revision: String = digest
                .iter()
                .take(6)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            stats.show_application(&manifest.name, &manifest.version, &revision);
            let mut own_databases = HashMap::new();
            for name in &component.databases {
                let database = open_database(&mut databases, name, limits, state)?;
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
                Arc::clone(counts),
                Arc::clone(stats),
                stop.subscribe(),
                alive.clone(),
            );
            // What would fail for every request fails here.
            let instance = pool.instantiate().await.map_err(anyhow::Error::from);
            drop(instance.with_context(|| format!("component {id:?}: cannot create an instance"))?);
            pools.insert(id, Arc::new(pool));
        }
        let mut triggers: Vec<_> = manifest
            .triggers
            .iter()
            .map(|trigger| Trigger {
                route: trigger.route.as_str().to_owned(),
                pattern: trigger.route.clone(),
                instances: Arc::clone(&pools[&trigger.component]),
            })
            .collect();
        triggers.sort_by_key(|trigger| std::cmp::Reverse(trigger.pattern.specificity()));
        Ok(Self {
            triggers,
            inline: manifest.is_inline(),
            limits,
            stop,
            alive,
        })
    }

    /// Makes every series that is known beforehand exist at 0: those of the routes that the components list, or
    /// else of their triggers' routes. Only components that count inline are asked, for others would answer
    /// the question, and count it, as any request.
    pub async fn declare_series(&self, counts: &EdgeCounts) {
        for trigger in &self.triggers {
            let listed = match self.inline {
                true => {
                    describe::routes(
                        &trigger.instances,
                        &trigger.route,
                        self.limits.request_timeout,
                    )
                    .await
                }
                false => None,
            };
            let own_route = || Route {
                method: "GET".into(),
                route: trigger.route.clone(),
                status: 200,
            };
            let vocabulary = RouteCatalogue {
                routes: listed.unwrap_or_else(|| vec![own_route()]),
            };
            for series in vocabulary.series() {
                counts.declare(series.method, &series.route, series.status);
            }
        }
        for (method, status) in HOST_ANSWERS {
            counts.declare(method, attribute::UNREPORTED, status);
        }
    }

    /// Returns the most specific trigger for `path`.
    pub(super) fn trigger(&self, path: &str) -> Option<&Trigger> {
        self.triggers
            .iter()
            .find(|trigger| trigger.pattern.matches(path))
    }

    pub(super) fn limits(&self) -> &GuestLimits {
        &self.limits
    }

    /// Returns what stops the instances.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            stop: self.stop.clone(),
            alive: self.alive.clone(),
        }
    }
}

/// Stops the instances of an application.
pub struct Stopper {
    stop: watch::Sender<bool>,
    alive: watch::Sender<()>,
}

impl Stopper {
    /// Lets every instance finish what it does after its answers, such as sending telemetry, and ends it. Waits
    /// at most `grace`.
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
    open: &mut BTreeMap<String, Arc<Database>>,
    name: &str,
    limits: GuestLimits,
    state: &StateDir,
) -> Result<Arc<Database>> {
    let database = match open.entry(name.to_owned()) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            let path = state.join(&format!("{name}.sqlite"));
            let database = Database::open(&path, limits.request_timeout, limits.instance_memory)
                .with_context(|| format!("cannot open database {}", path.display()))?;
            entry.insert(database)
        }
    };
    Ok(Arc::clone(database))
}
