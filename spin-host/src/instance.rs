//! The store of an instance: the host's state and the limits of the guest.

use crate::{
    Observer,
    chaining::Neighbours,
    clients::Clients,
    database::{Database, Databases},
    limits::HostLimits,
    outbound::Outbound,
    sockets,
    stdio::GuestOutput,
    usage::{InstanceMemory, Usage},
};
use spin_manifest::AllowedHosts;
use std::{collections::HashMap, path::PathBuf, sync::Arc};
use wasmtime::{Engine, Store, component::ResourceTable};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Settings that all instances of a component share.
pub(crate) struct Component {
    pub id: Arc<str>,
    pub variables: HashMap<String, String>,
    pub environment: Vec<(String, String)>,
    pub allowed_hosts: Arc<AllowedHosts>,
    pub neighbours: Arc<Neighbours>,
    pub clients: Arc<Clients>,
    pub databases: Databases,
    /// Labels of the key-value stores that the component may open.
    pub key_value_stores: Vec<String>,
    /// Their databases, by label. Most share one.
    pub key_values: HashMap<String, Arc<Database>>,
    /// Folder with the files that the component can read.
    pub files: Option<PathBuf>,
    pub limits: HostLimits,
    pub usage: Arc<Usage>,
    pub observer: Arc<dyn Observer>,
}

/// The host's state for one instance.
pub(crate) struct HostState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    memory: InstanceMemory,
    pub table: ResourceTable,
    pub component: Arc<Component>,
}

impl Component {
    /// Creates the store of an instance; `name` is the instance's name in the log.
    pub(crate) fn store(self: &Arc<Self>, engine: &Engine, name: &Arc<str>) -> Store<HostState> {
        let output = |stream| GuestOutput::new(Arc::clone(&self.id), Arc::clone(name), stream);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(output("stdout"))
            .stderr(output("stderr"))
            .envs(&self.environment);
        if let Some(files) = &self.files
            && let Err(error) = wasi.preopened_dir(files, "/", FsPerms::ReadOnly)
        {
            let component = &*self.id;
            tracing::error!(component, "cannot open {}: {error}", files.display());
        }
        sockets::restrict(&mut wasi, &self.id, &self.allowed_hosts);
        let mut store = Store::new(
            engine,
            HostState {
                wasi: wasi.build(),
                http: WasiHttpCtx::new(),
                outbound: Outbound::new(
                    Arc::clone(&self.id),
                    Arc::clone(&self.allowed_hosts),
                    Arc::clone(&self.neighbours),
                    Arc::clone(&self.clients),
                    self.limits.request_timeout,
                ),
                memory: InstanceMemory::new(&self.usage, self.limits.instance_memory),
                table: ResourceTable::new(),
                component: Arc::clone(self),
            },
        );
        store.limiter(|state| &mut state.memory);
        // A guest that computes yields at every tick, so that others progress and it can be stopped.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outbound,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
