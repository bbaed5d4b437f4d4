//! `spin:variables` for guests.

use crate::{
    bindings::spin::variables::variables::{Error, Host, HostWithStore},
    instance::HostState,
};
use wasmtime::{
    Result,
    component::{Accessor, HasSelf},
};

impl Host for HostState {}

impl<T> HostWithStore<T> for HasSelf<HostState> {
    async fn get(store: &Accessor<T, Self>, name: String) -> Result<Result<String, Error>> {
        if !is_name(&name) {
            return Ok(Err(Error::InvalidName(name)));
        }
        let value = store.with(|mut access| access.get().component.variables.get(&name).cloned());
        Ok(value.ok_or(Error::Undefined(name)))
    }
}

/// Spin's rule: begins with a lower-case letter, goes on with those, digits and single underscores.
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
