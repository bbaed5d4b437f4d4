//! Hosts of the components that tests serve.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use testkit::host::require;
pub(crate) use testkit::host::{Host, Launch};
use wac_graph::{CompositionGraph, types::Package};

/// The items component, as `spin.toml` names it.
const COMPONENT: &str = "target/wasm32-wasip2/component/items_component.wasm";
/// The misbehaving component, as its manifest names it.
pub(crate) const MISBEHAVING: &str = "target/wasm32-wasip2/component/misbehaving_component.wasm";

/// The component of WASI 0.2 beside it.
pub(crate) const SYNCHRONOUS: &str = "target/wasm32-wasip2/component/synchronous_component.wasm";

/// The gateway, as `make test-components` builds it.
pub(crate) const GATEWAY: &str = "target/wasm32-wasip2/component/metrics_gateway.wasm";

/// A component that imports what Spin offers of all its versions.
const WORLD: &str = "target/wasm32-wasip2/component/world_component.wasm";

/// A component that exports telemetry by `wasi:otel`.
const OTEL: &str = "target/wasm32-wasip2/component/otel_component.wasm";

/// The component that uses Redis, PostgreSQL and MQTT.
const CLIENTS: &str = "target/wasm32-wasip2/component/clients_component.wasm";

/// The axum router that a library counts.
const AXUM: &str = "target/wasm32-wasip2/component/axum_component.wasm";

/// Returns the path of a file of the workspace.
pub(crate) fn workspace(path: &str) -> PathBuf {
    testkit::root().join(path)
}

/// Returns a free address that the kernel gives to no connection.
pub(crate) fn free_address() -> SocketAddr {
    testkit::port::free().unwrap()
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_metrics-host"))
}

/// A `serve` of the items component, with fault injection.
pub(crate) fn serve() -> Launch {
    require(COMPONENT, "make build").unwrap();
    let launch = Launch::serve(binary()).unwrap();
    share_compiled_code(&launch);
    launch
        .env("SPIN_VARIABLE_FAULT_INJECTION", "on")
        .manifest(&application("spin.toml"))
}

/// Returns the path of a manifest of the workspace; with the variable `BUFFERED_HTTP=off`, [`of_wasi_http_alone`].
fn application(manifest: &str) -> PathBuf {
    match std::env::var("BUFFERED_HTTP").as_deref() {
        Ok("off") => of_wasi_http_alone(manifest),
        _ => workspace(manifest),
    }
}

/// Returns a copy of a manifest of the workspace whose components export `wasi:http` alone: no request reaches them as a
/// value.
fn of_wasi_http_alone(manifest: &str) -> PathBuf {
    let path = workspace(manifest);
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasi-http");
    fs::create_dir_all(&copies).unwrap();
    let mut text = fs::read_to_string(&path).unwrap();
    for component in [COMPONENT, MISBEHAVING, SYNCHRONOUS, AXUM] {
        let beside = format!("../../../{component}");
        let written = if text.contains(&beside) {
            &beside
        } else {
            component
        };
        if !text.contains(written) {
            continue;
        }
        let wasm = workspace(component);
        let copy = copies.join(wasm.file_name().unwrap());
        let wasm = fs::read(wasm).unwrap();
        let wasm = match component {
            SYNCHRONOUS => wasm,
            _ => with_wasi_http_alone(wasm),
        };
        write_whole(&copy, &wasm);
        text = text.replace(written, copy.to_str().unwrap());
    }
    let copy = copies.join(manifest.replace('/', "-"));
    write_whole(&copy, text.as_bytes());
    copy
}

/// Writes a file that other tests may read meanwhile.
fn write_whole(path: &Path, content: &[u8]) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(content).unwrap();
    file.persist(path).unwrap();
}

/// Returns the component without its other exports.
fn with_wasi_http_alone(wasm: Vec<u8>) -> Vec<u8> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("component", None, wasm, graph.types_mut()).unwrap();
    let package = graph.register_package(package).unwrap();
    let instance = graph.instantiate(package);
    let handler = "wasi:http/handler@0.3.0";
    let export = graph.alias_instance_export(instance, handler).unwrap();
    graph.export(export, handler).unwrap();
    graph.encode(Default::default()).unwrap()
}

/// A `serve` of the component that does what it should not.
pub(crate) fn serve_misbehaving() -> Launch {
    for component in [MISBEHAVING, SYNCHRONOUS] {
        require(component, "make test-components").unwrap();
    }
    serve().manifest(&application("metrics-host/tests/misbehaving/spin.toml"))
}

/// The same with components that export `wasi:http` alone.
pub(crate) fn serve_with_wasi_http_alone() -> Launch {
    let manifest = "metrics-host/tests/misbehaving/spin.toml";
    serve_misbehaving().manifest(&of_wasi_http_alone(manifest))
}

/// A `serve` of the application in `language`, a folder of `tests/languages`.
pub(crate) fn serve_language(language: &str) -> Launch {
    let component = format!("target/languages/{language}.wasm");
    require(&component, "make test-languages").unwrap();
    let manifest = format!("metrics-host/tests/languages/{language}/spin.toml");
    serve().manifest(&workspace(&manifest))
}

/// A `serve` of the component that uses Redis, PostgreSQL and MQTT.
pub(crate) fn serve_clients() -> Launch {
    require(CLIENTS, "make test-components").unwrap();
    serve().manifest(&workspace("metrics-host/tests/clients/spin.toml"))
}

/// A `serve` of the axum router.
pub(crate) fn serve_axum() -> Launch {
    require(AXUM, "make test-components").unwrap();
    serve().manifest(&application("metrics-host/tests/axum/spin.toml"))
}

/// A `serve` of the component with all imports.
pub(crate) fn serve_world() -> Launch {
    require(WORLD, "make test-components").unwrap();
    serve().manifest(&workspace("metrics-host/tests/world/spin.toml"))
}

/// A `serve` of the component that exports telemetry.
pub(crate) fn serve_otel() -> Launch {
    require(OTEL, "make test-components").unwrap();
    serve().manifest(&workspace("metrics-host/tests/otel/spin.toml"))
}

/// A `serve` of the items manifest with `from` replaced by `to`; the changed manifest is written to `directory`.
pub(crate) fn serve_changed(directory: &Path, from: &str, to: &str) -> Launch {
    let manifest = fs::read_to_string(application("spin.toml")).unwrap();
    assert!(manifest.contains(from), "{from}");
    let component = workspace(COMPONENT);
    let manifest = manifest
        .replacen(from, to, 1)
        .replace(COMPONENT, component.to_str().unwrap());
    let path = directory.join("spin.toml");
    fs::write(&path, manifest).unwrap();
    serve().manifest(&path)
}

/// A `sidecar`.
pub(crate) fn sidecar() -> Launch {
    Launch::sidecar(binary()).unwrap()
}

/// A `proxy` to `application`.
pub(crate) fn proxy(application: SocketAddr) -> Launch {
    let upstream = format!("http://{application}");
    proxied().env("METRICS_HOST_UPSTREAM", &upstream)
}

/// A `proxy` to an application that is to be added.
pub(crate) fn proxied() -> Launch {
    Launch::proxy(binary()).unwrap()
}

/// Shares compiled code between tests: compiling takes longer than most of them.
fn share_compiled_code(launch: &Launch) {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let state = launch.state_dir();
    fs::create_dir_all(&shared).unwrap();
    fs::create_dir(&state).unwrap();
    symlink(shared, state.join("compiled")).unwrap();
}
