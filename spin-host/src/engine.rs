//! The Wasm engine, and the loading of components.

use crate::{
    bindings, compile::compile, denied, exports::ExportsPre, instance::HostState, interfaces,
    limits::HostLimits, own_requests,
};
use anyhow::{Context, Result, bail};
use spin_assembly::Assembled;
use spin_manifest::ComponentManifest;
use std::{path::Path, sync::Arc, thread, time::Duration};
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig,
    component::{HasSelf, Linker},
};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView, p2, p3};

/// Interval at which a computing guest is interrupted.
const EPOCH: Duration = Duration::from_millis(10);
/// Most slots for instances. With two memories each, they take half of a process's address space.
const MAX_SLOTS: usize = 8 << 10;
/// Memory, in bytes, that a free slot keeps for its next instance. The pages that the last instance wrote are reset,
/// which costs a sixth less per instance than to return them and to fault them in again.
const KEPT_MEMORY: usize = 1 << 20;

/// Creates the engine, and its cache of compiled code in the directory `cache`. Components have at most `requests`
/// requests at one time, those of other components among them.
///
/// # Errors
/// Fails if the cache cannot be used, or the system lacks the address space for `limits`.
pub(crate) fn create(
    requests: usize,
    limits: &HostLimits,
    cache: &Path,
) -> Result<(Engine, Cache)> {
    let mut cache_config = CacheConfig::new();
    cache_config.with_directory(cache);
    let cache = Cache::new(cache_config)?;
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(requests, limits)))
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
fn pool(requests: usize, limits: &HostLimits) -> PoolingAllocationConfig {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // A used-up instance keeps its slot until it has sent its telemetry.
    let slots = |requests: usize| (2 * requests + (4 * requests).min(16)).min(MAX_SLOTS);
    let requests_at_once = limits.instance_concurrency.min(limits.instance_reuse);
    let shared = slots(requests.div_ceil(requests_at_once));
    let instances = slots(requests);
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

/// Compiles a component, or loads it from the cache, and links it with the host's interfaces. Its sources may have to be
/// downloaded first. Returns it with the SHA-256 of its files.
///
/// # Errors
/// Fails if a file cannot be read, is not a component that serves HTTP, or imports an interface that the host lacks.
pub(crate) async fn load(
    engine: &Engine,
    cache: &Cache,
    manifest: &ComponentManifest,
    downloads: &Path,
) -> Result<(ExportsPre, [u8; 32])> {
    let source = &manifest.source;
    let Assembled { wasm, digest } = spin_assembly::assemble(manifest, downloads).await?;
    let wasm = Arc::new(wasm);
    let component = compile(engine, cache, &manifest.name, &wasm)
        .await
        .with_context(|| format!("{source} is no WebAssembly component that this host can run"))?;
    // All that is missing at once; the linker would name the first one only.
    let unserved = interfaces::unserved(&wasm)?;
    let unknown = unserved.iter().filter(|import| import.denied.is_none());
    let unknown: Vec<_> = unknown.map(|import| &*import.import).collect();
    if !unknown.is_empty() {
        bail!(
            "{source} imports {}, which metrics-host serve does not have; {}",
            unknown.join(", "),
            interfaces::WAY_OUT
        );
    }
    let mut linker = linker(engine)?;
    denied::link(&mut linker, &component)?;
    let instance = linker
        .instantiate_pre(&component)
        .map_err(anyhow::Error::from)
        .with_context(|| {
            format!(
                "{source} imports an interface in another form than metrics-host serve has it; {}",
                interfaces::WAY_OUT
            )
        })?;
    let exports = ExportsPre::find(instance).with_context(|| {
        format!(
            "{source} serves no HTTP: it exports neither wasi:http/handler@0.3 nor wasi:http/incoming-handler@0.2"
        )
    })?;
    Ok((exports, digest))
}

fn linker(engine: &Engine) -> Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    let unstable = p2::bindings::LinkOptions::default();
    p2::bindings::http::types::add_to_linker::<_, WasiHttp>(
        &mut linker,
        &unstable.into(),
        HostState::http,
    )?;
    p3::bindings::http::types::add_to_linker::<_, WasiHttp>(&mut linker, HostState::http)?;
    own_requests::add_to_linker(&mut linker)?;
    bindings::Imports::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    Ok(linker)
}
