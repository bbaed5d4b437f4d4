//! Bindings generated from `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "imports",
    imports: { default: async | trappable },
    with: {
        "fermyon:spin/key-value@2.0.0.store": super::key_value::KeyValueStore,
        "fermyon:spin/sqlite@2.0.0.connection": super::database::Session,
        "spin:key-value/key-value.store": super::key_value::KeyValueStore,
        "spin:sqlite/sqlite.connection": super::database::Session,
        "wasi:keyvalue/atomics.cas": super::key_value::CompareAndSwap,
        "wasi:keyvalue/store.bucket": super::key_value::KeyValueStore,
    },
    require_store_data_send: true,
});
