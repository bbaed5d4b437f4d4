//! Keeps a dependency from what it does not inherit: it gets other imports than the component, which the host denies.

use anyhow::{Result, bail};
use spin_manifest::Inherited;
use wasm_encoder::{ComponentImportSection, ComponentTypeRef, RawSection, TypeBounds};
use wasmparser::{ComponentImport, Parser, Payload};

/// Namespace of imports that the host denies: `wasi:http/client@0.3.0` becomes `denied:wasi-http/client@0.3.0`.
pub const DENIED: &str = "denied";

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
    let mut component = wasm_encoder::Component::new();
    // Number of modules and components around the current section.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&wasm) {
        let payload = payload?;
        match (&payload, payload.as_section()) {
            (Payload::ComponentImportSection(imports), _) if depth == 0 => {
                let mut section = ComponentImportSection::new();
                for import in imports.clone() {
                    let import = import?;
                    let renamed = denied(import.name.name, inherited);
                    let name = renamed.as_deref().unwrap_or(import.name.name);
                    section.import(name, type_ref(&import)?);
                }
                component.section(&section);
            }
            (_, Some((id, range))) if depth == 0 => {
                let data = &wasm[range];
                component.section(&RawSection { id, data });
            }
            _ => {}
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    Ok(component.finish())
}

/// Returns the other name of an import that is not inherited.
fn denied(import: &str, inherited: &Inherited) -> Option<String> {
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

fn type_ref(import: &ComponentImport<'_>) -> Result<ComponentTypeRef> {
    use wasmparser::{ComponentTypeRef as Read, TypeBounds as Bounds};
    Ok(match import.ty {
        Read::Module(index) => ComponentTypeRef::Module(index),
        Read::Func(index) => ComponentTypeRef::Func(index),
        Read::Instance(index) => ComponentTypeRef::Instance(index),
        Read::Component(index) => ComponentTypeRef::Component(index),
        Read::Type(Bounds::Eq(index)) => ComponentTypeRef::Type(TypeBounds::Eq(index)),
        Read::Type(Bounds::SubResource) => ComponentTypeRef::Type(TypeBounds::SubResource),
        Read::Value(_) => bail!(
            "imports the value {:?}, which no host supports",
            import.name.name
        ),
    })
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
            assert_eq!(denied(import, &keys(&[])).as_deref(), expected, "{import}");
            assert_eq!(denied(import, &keys(&[key])), None, "{import}");
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
