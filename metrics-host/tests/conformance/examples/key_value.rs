//! A key-value store that is granted, and one that is not.

#![cfg(target_arch = "wasm32")]

use conformance_component::{
    Failure,
    bindings::fermyon::spin::key_value::{Error, Store},
    ensure,
};
use wasip2::http::types::IncomingRequest;

conformance_component::case!(handle);

fn handle(_: &IncomingRequest) -> Result<(), Failure> {
    ensure!(matches!(Store::open("another"), Err(Error::AccessDenied)));
    let store = Store::open("default")?;
    for key in store.get_keys()? {
        store.delete(&key)?;
    }
    absent(&store, "colour")?;
    for value in ["red", "green", ""] {
        store.set("colour", value.as_bytes())?;
        ensure!(store.exists("colour")?);
        ensure!(store.get("colour")?.as_deref() == Some(value.as_bytes()));
        ensure!(store.get_keys()? == ["colour"]);
    }
    let bytes: Vec<u8> = (0..=255).collect();
    store.set("bytes", &bytes)?;
    ensure!(store.get("bytes")? == Some(bytes));
    let mut keys = store.get_keys()?;
    keys.sort();
    ensure!(keys == ["bytes", "colour"]);
    for key in keys {
        store.delete(&key)?;
        absent(&store, &key)?;
        // A key that is not there can be deleted.
        store.delete(&key)?;
    }
    ensure!(store.get_keys()?.is_empty());
    Ok(())
}

fn absent(store: &Store, key: &str) -> Result<(), Failure> {
    ensure!(!store.exists(key)?);
    ensure!(store.get(key)?.is_none());
    Ok(())
}
