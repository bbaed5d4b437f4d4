//! Bindings generated from `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "imports",
    imports: { default: async | trappable },
    with: {
        "fermyon:spin/key-value.store": super::key_value::KeyValueStore,
        "spin:sqlite/sqlite.connection": super::database::Session,
        "wasi:keyvalue/store.bucket": super::key_value::KeyValueStore,
    },
    require_store_data_send: true,
});
