//! Keeps a dependency from what it does not inherit: it gets other imports than the component, which the host denies.

use crate::rename::{Extern, rename};
use anyhow::Result;
use spin_manifest::Inherited;

/// Namespace of imports that the host denies: `wasi:http/client@0.3.0` becomes `denied:wasi-http/client@0.3.0`.
const DENIED: &str = "denied";

/// Interfaces that a key of the manifest grants. `*` stands for all of a package, if they share resources.
const GRANTS: [(&str, &[&str]); 7] = [
    ("ai_models", &["fermyon:spin/llm"]),
    (
        "allowed_outbound_hosts",
        &[
            "fermyon:spin/http",
            "fermyon:spin/mqtt",
            "fermyon:spin/mysql",
            "fermyon:spin/postgres",
            "fermyon:spin/redis",
            "spin:mqtt/*",
            "spin:mysql/*",
            "spin:postgres/*",
            "spin:redis/*",
            "wasi:http/client",
            "wasi:http/outgoing-handler",
            "wasi:sockets/ip-name-lookup",
            "wasi:sockets/tcp",
            "wasi:sockets/tcp-create-socket",
            "wasi:sockets/types",
            "wasi:sockets/udp",
            "wasi:sockets/udp-create-socket",
        ],
    ),
    ("environment", &["wasi:cli/environment"]),
    ("files", &["wasi:filesystem/preopens"]),
    (
        "key_value_stores",
        &[
            "fermyon:spin/key-value",
            "spin:key-value/*",
            "wasi:keyvalue/*",
        ],
    ),
    (
        "sqlite_databases",
        &["fermyon:spin/sqlite", "spin:sqlite/*"],
    ),
    (
        "variables",
        &[
            "fermyon:spin/config",
            "fermyon:spin/variables",
            "spin:variables/*",
            "wasi:config/*",
        ],
    ),
];

/// Renames the imports of a component that are not inherited.
pub(crate) fn apply(wasm: Vec<u8>, inherited: &Inherited) -> Result<Vec<u8>> {
    if *inherited == Inherited::All {
        return Ok(wasm);
    }
    rename(wasm, |name| match name {
        Extern::Import(import) => denied_name(import, inherited),
        Extern::Export(_) => None,
    })
}

/// Returns the original name of an import that is denied so, without its version.
pub fn denied(import: &str) -> Option<String> {
    let (_, name) = import
        .split_once(':')
        .filter(|(namespace, _)| *namespace == DENIED)?;
    let name = name.split('@').next().unwrap_or_default();
    Some(name.replacen('-', ":", 1))
}

/// Returns the other name of an import that is not inherited.
fn denied_name(import: &str, inherited: &Inherited) -> Option<String> {
    let (path, version) = match import.split_once('@') {
        Some((path, version)) => (path, format!("@{version}")),
        None => (import, String::new()),
    };
    let (package, interface) = path.split_once('/')?;
    let (_, key) = GRANTS
        .iter()
        .flat_map(|(key, granted)| granted.iter().map(move |granted| (granted, key)))
        .find(|(granted, _)| {
            granted
                .split_once('/')
                .is_some_and(|(of, name)| of == package && (name == "*" || name == interface))
        })?;
    let package = package.replace(':', "-");
    (!inherited.includes(key)).then(|| format!("{DENIED}:{package}/{interface}{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Inherited {
        Inherited::Keys(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn imports_are_denied_unless_their_key_is_inherited() {
        for (import, key, expected) in [
            (
                "wasi:http/client@0.3.0",
                "allowed_outbound_hosts",
                Some("denied:wasi-http/client@0.3.0"),
            ),
            (
                "wasi:sockets/tcp@0.2.6",
                "allowed_outbound_hosts",
                Some("denied:wasi-sockets/tcp@0.2.6"),
            ),
            (
                "fermyon:spin/llm@2.0.0",
                "ai_models",
                Some("denied:fermyon-spin/llm@2.0.0"),
            ),
            (
                "fermyon:spin/config",
                "variables",
                Some("denied:fermyon-spin/config"),
            ),
            (
                "wasi:keyvalue/atomics@0.2.0-draft2",
                "key_value_stores",
                Some("denied:wasi-keyvalue/atomics@0.2.0-draft2"),
            ),
            ("wasi:http/types@0.3.0", "", None),
            ("wasi:cli/stdout@0.3.0", "", None),
            ("a:b/c", "", None),
            ("plain", "", None),
        ] {
            assert_eq!(
                denied_name(import, &keys(&[])).as_deref(),
                expected,
                "{import}"
            );
            assert_eq!(denied_name(import, &keys(&[key])), None, "{import}");
            if let Some(renamed) = expected {
                let original = import.split('@').next().map(str::to_owned);
                assert_eq!(denied(renamed), original);
            }
            assert_eq!(denied(import), None);
        }
    }

    #[test]
    fn only_the_imports_of_the_component_itself_are_renamed() {
        let text = r#"(component
            (import "wasi:cli/environment@0.2.6" (instance))
            (import "wasi:cli/stdout@0.2.6" (instance))
            (core module (func (export "f")))
            (component (import "wasi:cli/environment@0.2.6" (instance)))
        )"#;
        let wasm = wat::parse_str(text).unwrap();
        assert_eq!(apply(wasm.clone(), &Inherited::All).unwrap(), wasm);
        let inherits = keys(&["environment"]);
        assert_eq!(apply(wasm.clone(), &inherits).unwrap(), wasm);
        let renamed = text.replacen("wasi:cli/environment", "denied:wasi-cli/environment", 1);
        assert_eq!(
            apply(wasm, &keys(&[])).unwrap(),
            wat::parse_str(renamed).unwrap()
        );
    }
}
