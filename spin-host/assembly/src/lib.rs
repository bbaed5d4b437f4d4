//! Makes the component that a host compiles of the sources that a Spin manifest names.
//!
//! ```text
//! file or download → componentize → WASI 0.3 released → dependencies plugged in → middleware in front
//! ```
//!
//! The result is one component, as Spin makes it. [`denied`] tells which of its imports a dependency does not inherit.
//! The crate needs no Wasmtime, so its tests build in seconds.

mod componentize;
mod compose;
mod deny;
mod download;
mod release_candidate;
mod rename;

pub use deny::denied;
pub use rename::imports;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use spin_manifest::{ComponentManifest, Source};
use std::path::Path;

/// A component as it is compiled.
#[derive(Debug)]
pub struct Assembled {
    /// The bytes of the component.
    pub wasm: Vec<u8>,
    /// SHA-256 of its files: its own, then those of dependencies and middleware.
    pub digest: [u8; 32],
}

/// Returns a component, composed with its dependencies and middleware. Downloads are kept in the folder
/// `downloads`.
///
/// # Errors
/// Fails if a source cannot be read or downloaded, or if the components do not fit together.
pub async fn assemble(component: &ComponentManifest, downloads: &Path) -> Result<Assembled> {
    let mut files = Sha256::new();
    let hint = component.build_command.as_deref();
    let hint = hint.map(|command| format!("; build it with: {command}"));
    let mut wasm = read(
        &component.source,
        downloads,
        &hint.unwrap_or_default(),
        &mut files,
    )
    .await?;
    let mut plugs = Vec::new();
    for dependency in &component.dependencies {
        let place = || format!("dependency {:?}", dependency.name.to_string());
        let plug = read(&dependency.source, downloads, "", &mut files).await;
        let plug = plug.and_then(|wasm| deny::apply(wasm, &dependency.inherited));
        plugs.push((dependency, plug.with_context(place)?));
    }
    if !plugs.is_empty() {
        wasm = compose::plug(wasm, plugs)?;
    }
    let mut chain = Vec::new();
    for middleware in &component.middleware {
        let place = || format!("middleware {}", middleware.source);
        let wasm = read(&middleware.source, downloads, "", &mut files).await;
        let wasm = wasm.and_then(|wasm| deny::apply(wasm, &middleware.inherited));
        chain.push((&middleware.source, wasm.with_context(place)?));
    }
    if !chain.is_empty() {
        wasm = compose::chain(chain, wasm)?;
    }
    Ok(Assembled {
        wasm,
        digest: files.finalize().into(),
    })
}

/// Reads or downloads a component, or makes one of a module. `hint` says how a missing file comes about.
async fn read(
    source: &Source,
    downloads: &Path,
    hint: &str,
    files: &mut Sha256,
) -> Result<Vec<u8>> {
    let wasm =
        match source {
            Source::File(path) => tokio::fs::read(path)
                .await
                .with_context(|| format!("cannot read {}{hint}", path.display()))?,
            Source::Url { url, sha256 } => download::fetch(url, sha256, downloads)
                .await
                .with_context(|| {
                    format!("cannot download {url}; fetch it yourself, and name the file")
                })?,
        };
    files.update(&wasm);
    let component = componentize::componentize(wasm).and_then(release_candidate::released);
    component.with_context(|| format!("cannot run {source}"))
}
