//! Variables for guests: `spin:variables`, the same of Spin 2 and 1, and `wasi:config`.

use crate::{
    bindings::{
        fermyon::{
            spin::config::{Error as ConfigError, Host as ConfigHost},
            spin2_0_0::variables::Host as Host2,
        },
        spin::variables::variables::{Error, Host, HostWithStore},
        wasi::config::store::{Error as WasiError, Host as WasiHost},
    },
    instance::HostState,
};
use wasmtime::{
    Result,
    component::{Accessor, HasSelf},
};

impl HostState {
    fn variable(&self, name: String) -> Result<String, Error> {
        if !is_name(&name) {
            return Err(Error::InvalidName(name));
        }
        let value = self.component.variables.get(&name).cloned();
        value.ok_or(Error::Undefined(name))
    }
}

impl Host for HostState {}

impl<T> HostWithStore<T> for HasSelf<HostState> {
    async fn get(store: &Accessor<T, Self>, name: String) -> Result<Result<String, Error>> {
        Ok(store.with(|mut access| access.get().variable(name)))
    }
}

impl Host2 for HostState {
    async fn get(&mut self, name: String) -> Result<Result<String, Error>> {
        Ok(self.variable(name))
    }
}

impl ConfigHost for HostState {
    async fn get_config(&mut self, key: String) -> Result<Result<String, ConfigError>> {
        Ok(self.variable(key).map_err(|error| match error {
            Error::InvalidName(name) => ConfigError::InvalidKey(name),
            Error::Undefined(message) | Error::Provider(message) => ConfigError::Provider(message),
            Error::Other(message) => ConfigError::Other(message),
        }))
    }
}

impl WasiHost for HostState {
    async fn get(&mut self, key: String) -> Result<Result<Option<String>, WasiError>> {
        Ok(match self.variable(key) {
            Ok(value) => Ok(Some(value)),
            Err(Error::InvalidName(_) | Error::Undefined(_)) => Ok(None),
            Err(Error::Provider(message)) => Err(WasiError::Upstream(message)),
            Err(Error::Other(message)) => Err(WasiError::Io(message)),
        })
    }

    async fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, WasiError>> {
        let variables = self.component.variables.iter();
        Ok(Ok(variables
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()))
    }
}

/// Applies Spin's rule: a lower-case letter, then lower-case letters, digits and single underscores.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.contains("__")
        && !name.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_spin() {
        for name in ["a", "telemetry_host", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "1a", "a__b", "a_", "_a", "a-b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
