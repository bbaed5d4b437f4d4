//! The outbox in Spin's key-value store.
//!
//! The plain interface is used, not the asynchronous one: a panic hook cannot await. A call is one short statement in a
//! file of its own, so it never waits for statements that the instance has open in its database.

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
            package fermyon:spin@2.0.0;

            interface key-value {
                resource store {
                    open: static func(label: string) -> result<store, error>;
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    get-keys: func() -> result<list<string>, error>;
                }
                variant error {
                    store-table-full,
                    no-such-store,
                    access-denied,
                    other(string)
                }
            }

            world outbox {
                import key-value;
            }
        "#,
        runtime_path: "spin_sdk::wit_bindgen::rt",
    });
}

use bindings::fermyon::spin::key_value::{Error, Store};
use telemetry::sender::{Entry, Outbox};

/// Label of the store: the only one that Spin has without a runtime configuration.
const LABEL: &str = "default";

/// The store; opened before the first panic.
pub(crate) struct KeyValueOutbox(Result<Store, String>);

impl KeyValueOutbox {
    pub(crate) fn open() -> Self {
        Self(Store::open(LABEL).map_err(explain))
    }

    /// Returns the reason why the store cannot be opened.
    pub(crate) fn error(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    fn store(&self) -> Result<&Store, String> {
        self.0.as_ref().map_err(String::clone)
    }
}

impl Outbox for KeyValueOutbox {
    fn put(&self, entry: &Entry, body: &[u8]) -> Result<(), String> {
        self.store()?.set(&entry.to_key(), body).map_err(explain)
    }

    fn entries(&self) -> Result<Vec<Entry>, String> {
        let keys = self.store()?.get_keys().map_err(explain)?;
        Ok(keys.iter().filter_map(|key| Entry::from_key(key)).collect())
    }

    fn get(&self, entry: &Entry) -> Result<Option<Vec<u8>>, String> {
        self.store()?.get(&entry.to_key()).map_err(explain)
    }

    fn delete(&self, entry: &Entry) -> Result<(), String> {
        self.store()?.delete(&entry.to_key()).map_err(explain)
    }
}

fn explain(error: Error) -> String {
    match error {
        Error::StoreTableFull => "too many stores are open".into(),
        Error::NoSuchStore => format!("there is no key-value store {LABEL:?}"),
        Error::AccessDenied => {
            format!("the manifest does not allow it: key_value_stores = [{LABEL:?}]")
        }
        Error::Other(reason) => reason,
    }
}
