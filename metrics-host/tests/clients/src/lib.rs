//! A component that uses Redis, PostgreSQL and MQTT through every version of Spin's interfaces. It answers with what it
//! was told, so that hosts can be compared.

#[cfg(target_arch = "wasm32")]
mod component;
