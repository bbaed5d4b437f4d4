//! The Wasm engine, and the loading of components.

use crate::{bindings, compile::compile, denied, instance::HostState, limits::HostLimits};
use anyhow::{Context, Result, bail};
use spin_manifest::ComponentManifest;
use std::{path::Path, sync::Arc, thread, time::Duration};
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig,
    component::{HasSelf, Linker},
};
use wasmtime_wasi_http::{handler::ProxyPre, p2, p3};

/// Interval at which a computing guest is interrupted.
const EPOCH: Duration = Duration::from_millis(10);
/// Most slots for instances. With two memories each, they take half of a process's address space.
const MAX_SLOTS: usize = 8 << 10;
/// Memory, in bytes, that a free slot keeps for its next instance. The pages that the last instance wrote are reset,
/// which costs a sixth less per instance than to return them and to fault them in again.
const KEPT_MEMORY: usize = 1 << 20;

/// Creates the engine, and its cache of compiled code in the directory `cache`.
///
/// # Errors
/// Fails if the cache cannot be used, or the system lacks the address space for `limits`.
pub(crate) fn create(limits: &HostLimits, cache: &Path) -> Result<(Engine, Cache)> {
    let mut cache_config = CacheConfig::new();
    cache_config.with_directory(cache);
    let cache = Cache::new(cache_config)?;
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)))
        .cache(Some(cache.clone()));
    let engine = Engine::new(&config)?;
    let weak = engine.weak();
    thread::Builder::new()
        .name("wasm-epoch".into())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(EPOCH);
            }
        })?;
    Ok((engine, cache))
}

/// Reserves slots for twice the instances of full load, since an instance that ends is replaced before it is gone.
/// Slots cost address space, and memory only for those used last. A component of WASI 0.2 has an instance for each request.
fn pool(limits: &HostLimits) -> PoolingAllocationConfig {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // A used-up instance keeps its slot until it has sent its telemetry.
    let slots = |requests: usize| (2 * requests + 16).min(MAX_SLOTS);
    let requests_at_once = limits.instance_concurrency.min(limits.instance_reuse);
    let shared = slots(limits.max_concurrent_requests.div_ceil(requests_at_once));
    let instances = slots(limits.max_concurrent_requests);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(count(instances))
        .total_core_instances(count(8 * instances))
        .total_memories(count(2 * instances))
        .total_tables(count(8 * instances))
        .total_stacks(count(2 * instances + 4 * shared))
        .max_memory_size(limits.instance_memory);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEPT_MEMORY);
    }
    pool
}

/// Compiles a component, or loads it from the cache, and links it with the host's interfaces. Its sources
/// may have to be downloaded first.
///
/// # Errors
/// Fails if a file cannot be read, is not a component that serves HTTP, or imports an interface that the host lacks.
pub(crate) async fn load(
    engine: &Engine,
    cache: &Cache,
    manifest: &ComponentManifest,
    downloads: &Path,
) -> Result<(ProxyPre<HostState>, Arc<Vec<u8>>)> {
    let source = &manifest.source;
    let wasm = Arc::new(spin_assembly::assemble(manifest, downloads).await?);
    let component = compile(engine, cache, &manifest.name, &wasm)
        .await
        .with_context(|| format!("{source} is no WebAssembly component that this host can run"))?;
    let mut linker = linker(engine)?;
    denied::link(&mut linker, engine, &component)?;
    let instance = linker
        .instantiate_pre(&component)
        .map_err(anyhow::Error::from)
        .with_context(|| {
            format!("{source} imports an interface that metrics-host does not implement")
        })?;
    let proxy = match p3::bindings::ServicePre::new(instance.clone()) {
        Ok(service) => ProxyPre::P3(service),
        Err(_) => match p2::bindings::ProxyPre::new(instance) {
            Ok(proxy) => ProxyPre::P2(proxy),
            Err(_) => bail!(
                "{source} serves no HTTP: it exports neither wasi:http/handler@0.3 nor wasi:http/incoming-handler@0.2"
            ),
        },
    };
    Ok((proxy, wasm))
}

fn linker(engine: &Engine) -> Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    bindings::Imports::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    Ok(linker)
}
