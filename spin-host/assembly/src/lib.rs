//! Makes the component that a host compiles of the sources that a Spin manifest names.
//!
//! ```text
//! file or download → componentize → dependencies plugged in → middleware in front
//! ```
//!
//! The result is one component, as Spin makes it. [`DENIED`] tells how a dependency is kept from what it does not inherit.
//! The crate needs no Wasmtime, so its tests build in seconds.

mod componentize;
mod compose;
mod deny;
mod download;

pub use deny::DENIED;

use anyhow::{Context, Result};
use spin_manifest::{ComponentManifest, Source};
use std::path::Path;

/// Returns the bytes of a component, composed with its dependencies and middleware. Downloads are kept in the folder
/// `downloads`.
///
/// # Errors
/// Fails if a source cannot be read or downloaded, or if the components do not fit together.
pub async fn assemble(component: &ComponentManifest, downloads: &Path) -> Result<Vec<u8>> {
    let hint = component.build_command.as_deref();
    let hint = hint.map(|command| format!("; build it with: {command}"));
    let mut wasm = read(&component.source, downloads, &hint.unwrap_or_default()).await?;
    let mut plugs = Vec::new();
    for dependency in &component.dependencies {
        let place = || format!("dependency {:?}", dependency.name.to_string());
        let plug = read(&dependency.source, downloads, "").await;
        let plug = plug.and_then(|wasm| deny::apply(wasm, &dependency.inherited));
        plugs.push((dependency, plug.with_context(place)?));
    }
    if !plugs.is_empty() {
        wasm = compose::plug(wasm, plugs)?;
    }
    let mut chain = Vec::new();
    for middleware in &component.middleware {
        let place = || format!("middleware {}", middleware.source);
        let wasm = read(&middleware.source, downloads, "").await;
        let wasm = wasm.and_then(|wasm| deny::apply(wasm, &middleware.inherited));
        chain.push((&middleware.source, wasm.with_context(place)?));
    }
    if !chain.is_empty() {
        wasm = compose::chain(chain, wasm)?;
    }
    Ok(wasm)
}

/// Reads or downloads a component, or makes one of a module. `hint` says how a missing file comes about.
async fn read(source: &Source, downloads: &Path, hint: &str) -> Result<Vec<u8>> {
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
    componentize::componentize(wasm).with_context(|| format!("cannot run {source}"))
}
