//! Modules of WASI 0.1, such as those of TinyGo, become components.

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

const UNDER_SPIN: &str =
    "build it for WASI 0.2 or 0.3, or run the application with `metrics-host proxy -- spin up`";
/// Start of the names of sections in which wit-bindgen describes the interfaces of a module.
const BINDINGS: &str = "component-type";
/// Exports of modules that the first SDKs built, before components.
const FIRST_SDKS: [&str; 2] = ["handle-http-request", "canonical_abi_realloc"];

/// Returns the component itself, or the component that a module describes.
///
/// # Errors
/// Fails if `wasm` is neither, or a module of a kind that only Spin runs.
pub(crate) fn componentize(wasm: Vec<u8>) -> Result<Vec<u8>> {
    if !Parser::is_core_wasm(&wasm) {
        if !Parser::is_component(&wasm) {
            bail!("not WebAssembly: neither a component nor a module");
        }
        return Ok(wasm);
    }
    match kind(&wasm).context("the module is malformed")? {
        Kind::Described => {}
        Kind::FirstSdk => bail!(
            "a module of an SDK from before components, such as version 1 of Rust's or version 2 of Go's; {UNDER_SPIN}"
        ),
        Kind::Command => {
            bail!("a command of WASI 0.1, which only the executor `wagi` runs; {UNDER_SPIN}")
        }
        Kind::Plain => bail!("a module that does not describe its interfaces; {UNDER_SPIN}"),
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&wasm)
        .and_then(|encoder| {
            encoder.adapter(
                adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode());
    encoded.context("no component can be made of the module")
}

enum Kind {
    /// A section of wit-bindgen describes its interfaces.
    Described,
    FirstSdk,
    Command,
    Plain,
}

fn kind(wasm: &[u8]) -> Result<Kind> {
    let mut kind = Kind::Plain;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::CustomSection(section) if section.name().starts_with(BINDINGS) => {
                return Ok(Kind::Described);
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    match export?.name {
                        name if FIRST_SDKS.contains(&name) => kind = Kind::FirstSdk,
                        "_start" if matches!(kind, Kind::Plain) => kind = Kind::Command,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(kind)
}
