//! Bindings generated from `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "imports",
    imports: { default: async | trappable },
    with: {
        "fermyon:spin/key-value@2.0.0.store": super::key_value::KeyValueStore,
        "fermyon:spin/mqtt@2.0.0.connection": super::mqtt::MqttConnection,
        "fermyon:spin/postgres@2.0.0.connection": super::postgres::PostgresConnection,
        "fermyon:spin/redis@2.0.0.connection": super::redis::RedisConnection,
        "fermyon:spin/sqlite@2.0.0.connection": super::database::Session,
        "spin:key-value/key-value.store": super::key_value::KeyValueStore,
        "spin:mqtt/mqtt.connection": super::mqtt::MqttConnection,
        "spin:postgres/postgres@3.0.0.connection": super::postgres::PostgresConnection,
        "spin:postgres/postgres@4.2.0.connection": super::postgres::PostgresConnection,
        "spin:postgres/postgres@4.2.0.connection-builder": super::postgres::ConnectionBuilder,
        "spin:redis/redis.connection": super::redis::RedisConnection,
        "spin:sqlite/sqlite.connection": super::database::Session,
        "wasi:keyvalue/atomics.cas": super::key_value::CompareAndSwap,
        "wasi:keyvalue/store.bucket": super::key_value::KeyValueStore,
    },
    require_store_data_send: true,
});
