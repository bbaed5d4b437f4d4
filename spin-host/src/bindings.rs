//! Generated from `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "imports",
    imports: { default: async | trappable },
    with: { "spin:sqlite/sqlite.connection": super::database::Session },
    require_store_data_send: true,
});
