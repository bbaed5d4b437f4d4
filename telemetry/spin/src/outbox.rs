//! The outbox in Spin's key-value store.
//!
//! The interface `wasi:keyvalue` is used, and not Spin's own: it writes several values in one transaction, adds to a number
//! atomically, and is synchronous, since a panic hook cannot await. A call is one short transaction in a file of its own,
//! so it never waits for statements that the instance has open in its database.

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: r#"
            package wasi:keyvalue@0.2.0-draft2;

            interface store {
                variant error {
                    no-such-store,
                    access-denied,
                    other(string)
                }
                record key-response {
                    keys: list<string>,
                    cursor: option<string>
                }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<string>) -> result<key-response, error>;
                }
            }

            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<list<tuple<string, option<list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }

            interface atomics {
                use store.{bucket, error};
                variant cas-error {
                    store-error(error),
                    cas-failed(cas)
                }
                resource cas {
                    new: static func(bucket: borrow<bucket>, key: string) -> result<cas, error>;
                    current: func() -> result<option<list<u8>>, error>;
                }
                increment: func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>;
                swap: func(cas: cas, value: list<u8>) -> result<_, cas-error>;
            }

            world outbox {
                import store;
                import batch;
                import atomics;
            }
        "#,
        runtime_path: "spin_sdk::wit_bindgen::rt",
    });
}

use bindings::wasi::keyvalue::{
    atomics::{Cas, CasError, increment, swap},
    batch::{delete_many, get_many, set_many},
    store::{Bucket, Error, open},
};
use telemetry::sender::Outbox;

/// Label of the store: the only one that Spin has without a runtime configuration.
const LABEL: &str = "default";

/// The store; opened before the first panic.
pub(crate) struct KeyValueOutbox(Result<Bucket, String>);

impl KeyValueOutbox {
    pub(crate) fn open() -> Self {
        Self(open(LABEL).map_err(explain))
    }

    /// Returns the reason why the store cannot be opened.
    pub(crate) fn error(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    fn store(&self) -> Result<&Bucket, String> {
        self.0.as_ref().map_err(String::clone)
    }
}

impl Outbox for KeyValueOutbox {
    fn set(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        set_many(self.store()?, values).map_err(explain)
    }

    fn replace(&self, key: &str, expected: &[u8], value: &[u8]) -> Result<bool, String> {
        let cas = Cas::new(self.store()?, key).map_err(explain)?;
        // A swap of what is not there would add it.
        if cas.current().map_err(explain)?.as_deref() != Some(expected) {
            return Ok(false);
        }
        match swap(cas, value) {
            Ok(()) => Ok(true),
            Err(CasError::CasFailed(_)) => Ok(false),
            Err(CasError::StoreError(error)) => Err(explain(error)),
        }
    }

    fn keys(&self) -> Result<Vec<String>, String> {
        let store = self.store()?;
        let mut page = store.list_keys(None).map_err(explain)?;
        let mut keys = page.keys;
        while page.cursor.is_some() {
            page = store.list_keys(page.cursor.as_deref()).map_err(explain)?;
            keys.append(&mut page.keys);
        }
        Ok(keys)
    }

    fn get(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let values = get_many(self.store()?, keys).map_err(explain)?;
        let there = values
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Ok(there.collect())
    }

    fn delete(&self, keys: &[String]) -> Result<(), String> {
        delete_many(self.store()?, keys).map_err(explain)
    }

    fn add(&self, key: &str, number: i64) -> Result<i64, String> {
        increment(self.store()?, key, number).map_err(explain)
    }
}

fn explain(error: Error) -> String {
    match error {
        Error::NoSuchStore => format!("there is no key-value store {LABEL:?}"),
        Error::AccessDenied => {
            format!("the manifest does not allow it: key_value_stores = [{LABEL:?}]")
        }
        Error::Other(reason) => reason,
    }
}
