//! Every interface that a component can import, and what this host makes of it. The documentation's table is made from
//! [`INTERFACES`].

use anyhow::Result;
use spin_manifest::{ComponentManifest, compatible};
use std::{fmt, path::Path};
use wasmparser::{ComponentTypeRef, Parser};

/// An interface that Spin offers to components.
#[derive(Debug)]
pub struct Interface {
    /// The name without a version. A package stands for all of its interfaces.
    pub name: &'static str,
    /// Versions of it; each stands for all that are compatible with it.
    pub versions: &'static [&'static str],
    /// Whether it works here.
    pub support: Support,
    /// A remark for the table.
    pub note: &'static str,
}

/// Whether an interface works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works as under Spin.
    Served,
    /// Components that import it start. Each call returns an error, which says that the host lacks this service.
    Denied(&'static str),
}

use Support::{Denied, Served};

/// The version of the interfaces of Spin 1.
pub const UNVERSIONED: &str = "";
/// The way to run what this host cannot.
pub(crate) const WAY_OUT: &str = "run the application with `metrics-host proxy -- spin up`";

const WASI: &[&str] = &["0.2", "0.3.0-rc-2026-03-15", "0.3.0"];
const SPIN_1: &[&str] = &[UNVERSIONED];
const SPIN_2: &[&str] = &["2.0.0"];
const SPIN_1_AND_2: &[&str] = &[UNVERSIONED, "2.0.0"];
const SPIN_3: &[&str] = &["3.0.0"];
const TYPES_ONLY: &str = "types only";
const NO_MYSQL: Support = Denied("MySQL");
const NO_LLM: Support = Denied("language models");

const fn interface(
    name: &'static str,
    versions: &'static [&'static str],
    support: Support,
    note: &'static str,
) -> Interface {
    Interface {
        name,
        versions,
        support,
        note,
    }
}

/// All interfaces, WASI first.
pub const INTERFACES: &[Interface] = &[
    interface("wasi:cli", WASI, Served, ""),
    interface("wasi:clocks", WASI, Served, ""),
    interface(
        "wasi:filesystem",
        WASI,
        Served,
        "the files of the manifest, read-only",
    ),
    interface("wasi:http", WASI, Served, ""),
    interface("wasi:io", &["0.2"], Served, ""),
    interface("wasi:random", WASI, Served, ""),
    interface("wasi:sockets", WASI, Served, ""),
    interface("wasi:config/store", &["0.2.0-draft-2024-09-27"], Served, ""),
    interface("wasi:keyvalue/atomics", &["0.2.0-draft2"], Served, ""),
    interface("wasi:keyvalue/batch", &["0.2.0-draft2"], Served, ""),
    interface("wasi:keyvalue/store", &["0.2.0-draft2"], Served, ""),
    interface(
        "wasi:otel",
        &["0.2.0-rc.2"],
        Served,
        "metrics are counted; spans and log records are dropped",
    ),
    interface("spin:variables/variables", SPIN_3, Served, ""),
    interface("spin:key-value/key-value", SPIN_3, Served, ""),
    interface("spin:sqlite/sqlite", &["3.1.0"], Served, ""),
    interface("spin:redis/redis", SPIN_3, Served, ""),
    interface("spin:postgres/postgres", &["3.0.0", "4.2.0"], Served, ""),
    interface("spin:mqtt/mqtt", SPIN_3, Served, ""),
    interface("spin:mysql/mysql", SPIN_3, NO_MYSQL, ""),
    interface("fermyon:spin/variables", SPIN_2, Served, ""),
    interface("fermyon:spin/config", SPIN_1, Served, ""),
    interface("fermyon:spin/key-value", SPIN_1_AND_2, Served, ""),
    interface("fermyon:spin/sqlite", SPIN_1_AND_2, Served, ""),
    interface("fermyon:spin/redis", SPIN_1_AND_2, Served, ""),
    interface("fermyon:spin/redis-types", SPIN_1, Served, TYPES_ONLY),
    interface("fermyon:spin/postgres", SPIN_1_AND_2, Served, ""),
    interface("fermyon:spin/rdbms-types", SPIN_1_AND_2, Served, TYPES_ONLY),
    interface("fermyon:spin/mqtt", SPIN_2, Served, ""),
    interface("fermyon:spin/mysql", SPIN_1_AND_2, NO_MYSQL, ""),
    interface("fermyon:spin/llm", SPIN_1_AND_2, NO_LLM, ""),
    interface(
        "fermyon:spin/http",
        SPIN_1,
        Denied("outbound HTTP of Spin 1"),
        "`wasi:http` is served",
    ),
    interface("fermyon:spin/http-types", SPIN_1, Served, TYPES_ONLY),
];

/// An import of a component that does not work here.
#[derive(Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Name of the import, with its version.
    pub import: String,
    /// The missing service if the component starts and its calls fail; `None` if it does not start.
    pub denied: Option<&'static str>,
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let import = &self.import;
        match self.denied {
            Some(service) => {
                let denied = denial(service);
                write!(f, "calls of {import} will fail: {denied}")
            }
            None => write!(
                f,
                "imports {import}, which metrics-host serve does not have; {WAY_OUT}"
            ),
        }
    }
}

/// Returns the text of the error that calls for a missing service return.
pub(crate) fn denial(service: &str) -> String {
    format!("metrics-host serve has no {service}; {WAY_OUT}")
}

/// Returns the interface of an import's name.
pub(crate) fn find(import: &str) -> Option<&'static Interface> {
    let (name, version) = import.split_once('@').unwrap_or((import, UNVERSIONED));
    let package = name.split_once('/').map_or(name, |(package, _)| package);
    INTERFACES.iter().find(|interface| {
        let is_named = interface.name == name || interface.name == package;
        let mut versions = interface.versions.iter();
        is_named && versions.any(|known| compatible(known) == compatible(version))
    })
}

/// Returns the imports of a component that do not work here, without starting it. Its sources must be files.
///
/// # Errors
/// Fails if a source cannot be read, or is no component that this host can run.
pub async fn check_imports(component: &ComponentManifest) -> Result<Vec<Unserved>> {
    let assembled = spin_assembly::assemble(component, Path::new("")).await?;
    unserved(&assembled.wasm)
}

/// Returns the imports of a component that do not work here, in the order of the file. A core module has none.
///
/// # Errors
/// Fails if `wasm` is not WebAssembly.
pub(crate) fn unserved(wasm: &[u8]) -> Result<Vec<Unserved>> {
    let mut unserved = Vec::new();
    if !Parser::is_component(wasm) {
        return Ok(unserved);
    }
    for import in spin_assembly::imports(wasm)? {
        let name = import.name.name;
        let denied = match find(name).map(|found| found.support) {
            _ if matches!(import.ty, ComponentTypeRef::Type(_)) => continue,
            _ if spin_assembly::denied(name).is_some() => continue,
            Some(Served) => continue,
            Some(Denied(service)) => Some(service),
            None => None,
        };
        let import = name.to_owned();
        unserved.push(Unserved { import, denied });
    }
    Ok(unserved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn versions_are_compatible_as_the_linker_has_it() {
        for (version, expected) in [
            ("", ""),
            ("0.2", "0.2"),
            ("0.2.12", "0.2"),
            ("0.0.7", "0.0.7"),
            ("0.10.1", "0.10"),
            ("3.1.0", "3"),
            ("10.0.0", "10"),
            ("0.3.0-rc-2026-03-15", "0.3.0-rc-2026-03-15"),
        ] {
            assert_eq!(compatible(version), expected, "{version}");
        }
        for (import, is_known) in [
            ("wasi:http/types@0.2.9", true),
            ("wasi:http/types@0.2.0-rc-2023-11-10", false),
            ("wasi:http/types@0.3.0-rc-2026-03-15", true),
            ("wasi:http/types", false),
            ("spin:sqlite/sqlite@3.0.0", true),
            ("spin:sqlite/other@3.0.0", false),
            ("spin:postgres/postgres@4.0.0", true),
            ("fermyon:spin/config", true),
            ("fermyon:spin/config@2.0.0", false),
        ] {
            assert_eq!(find(import).is_some(), is_known, "{import}");
        }
    }

    /// WASI that Wasmtime's own crates link.
    const OF_WASMTIME: [&str; 7] = [
        "wasi:cli",
        "wasi:clocks",
        "wasi:filesystem",
        "wasi:http",
        "wasi:io",
        "wasi:random",
        "wasi:sockets",
    ];

    #[test]
    fn the_interfaces_of_the_bindings_are_those_that_are_served() {
        let world = include_str!("../wit/host.wit");
        let imports = world.lines().filter_map(|line| {
            let import = line.trim().strip_prefix("import ")?;
            import.strip_suffix(';')
        });
        let imports: BTreeSet<_> = imports.collect();
        assert!(imports.len() > 10);
        for import in &imports {
            let interface = find(import).unwrap_or_else(|| panic!("{import} is not listed"));
            assert_eq!(interface.support, Served, "{import}");
        }
        for Interface {
            name,
            versions,
            support,
            note,
        } in INTERFACES
        {
            let is_bound = *support == Served && *note != TYPES_ONLY && !OF_WASMTIME.contains(name);
            for version in versions.iter().filter(|_| is_bound) {
                let is_one = |import: &&str| {
                    let (found, of) = import.split_once('@').unwrap_or((import, UNVERSIONED));
                    let package = found.split('/').next();
                    of == *version && (found == *name || package == Some(name))
                };
                assert!(imports.iter().any(is_one), "{name}@{version}");
            }
        }
    }

    /// The table in the documentation, made from [`INTERFACES`].
    fn table() -> String {
        let rows = INTERFACES.iter().map(|interface| {
            let versions = interface.versions.iter().map(|version| match *version {
                UNVERSIONED => "none (Spin 1)",
                version => version,
            });
            let versions: Vec<_> = versions.collect();
            let (served, service) = match interface.support {
                Served => ("yes", String::new()),
                Denied(service) => ("denied", format!("no {service}")),
            };
            let separator = match interface.note.is_empty() || service.is_empty() {
                true => "",
                false => "; ",
            };
            let row = format!(
                "| `{}` | {} | {served} | {service}{separator}{} |\n",
                interface.name,
                versions.join(", "),
                interface.note
            );
            row.replace("  |", " |")
        });
        let head = "| import | versions | served | |\n|---|---|---|---|\n".to_owned();
        std::iter::once(head).chain(rows).collect()
    }

    #[test]
    fn the_documentation_has_the_table_of_interfaces() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/interfaces.md");
        let page = std::fs::read_to_string(page).unwrap();
        let expected = table();
        assert!(
            page.contains(&expected),
            "docs/interfaces.md needs:\n{expected}"
        );
    }

    #[test]
    fn imports_that_do_not_work_are_named() {
        let component = r#"(component
            (import "wasi:cli/environment@0.2.0" (instance))
            (import "fermyon:spin/mysql@2.0.0" (instance))
            (component (import "inner:a/b" (instance)))
            (core module)
            (import "my:own/thing@1.0.0" (instance))
            (type $t u32)
            (import "a-type" (type (eq $t)))
            (import "a-function" (func)))"#;
        let component = wat::parse_str(component).unwrap();
        let found: Vec<_> = unserved(&component)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "calls of fermyon:spin/mysql@2.0.0 will fail: metrics-host serve has no MySQL; run the application with `metrics-host proxy -- spin up`",
                "imports my:own/thing@1.0.0, which metrics-host serve does not have; run the application with `metrics-host proxy -- spin up`",
                "imports a-function, which metrics-host serve does not have; run the application with `metrics-host proxy -- spin up`",
            ]
        );
        assert_eq!(unserved(&wat::parse_str("(module)").unwrap()).unwrap(), []);
        assert!(unserved(b"\0asm\x0d\0\x01\0broken").is_err());
    }
}
