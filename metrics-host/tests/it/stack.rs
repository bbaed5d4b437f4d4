//! Hosts of the components that tests serve.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use testkit::host::require;
pub(crate) use testkit::host::{Host, Launch};

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
        .manifest(&workspace("spin.toml"))
}

/// A `serve` of the component that does what it should not.
pub(crate) fn serve_misbehaving() -> Launch {
    for component in [MISBEHAVING, SYNCHRONOUS] {
        require(component, "make test-components").unwrap();
    }
    serve().manifest(&workspace("metrics-host/tests/misbehaving/spin.toml"))
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
    serve().manifest(&workspace("metrics-host/tests/axum/spin.toml"))
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
    let manifest = fs::read_to_string(workspace("spin.toml")).unwrap();
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
