//! The built component: its imports and its size stay within what was agreed.

use std::{collections::BTreeSet, fs, path::Path};
use wasmparser::{Parser, Payload};

/// Path of the component, as in `spin.toml`.
const COMPONENT: &str = "../target/wasm32-wasip2/component/items_component.wasm";
/// The allowed imports, one per line.
const AGREED: &str = include_str!("../../imports.txt");
/// Maximum size in bytes: a tenth above the size when it was set. A dependency linked in by mistake exceeds that.
const MAX_SIZE: usize = 950_000;

fn component() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMPONENT);
    fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run `make component`", path.display());
    })
}

/// Returns the imports of a component, without those of nested modules and components.
fn imports(wasm: &[u8]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                names.extend(section.into_iter().map(|import| import.unwrap().name.name));
            }
            _ => {}
        }
    }
    names
}

/// Describes each difference between `imports` and `agreed`.
fn differences(imports: &BTreeSet<&str>, agreed: &str) -> Vec<String> {
    let lines = agreed.lines().filter(|line| !line.starts_with('#'));
    let agreed: BTreeSet<_> = lines.collect();
    let added = imports.difference(&agreed).map(|name| {
        format!(
            "the component also imports {name}, which every host would have to grant; to agree, add that line to \
             items-component/imports.txt and give the reason in the commit"
        )
    });
    let gone = agreed.difference(imports).map(|name| {
        format!(
            "the component no longer imports {name}: remove it from items-component/imports.txt"
        )
    });
    added.chain(gone).collect()
}

#[test]
fn it_imports_what_was_agreed() {
    let found = differences(&imports(&component()), AGREED);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn it_is_no_larger_than_was_agreed() {
    let size = component().len();
    assert!(
        size <= MAX_SIZE,
        "the component has {size} bytes, more than {MAX_SIZE}; check what is linked in. To agree, raise MAX_SIZE in \
         items-component/tests/it/artefact.rs and give the reason in the commit"
    );
}

#[test]
fn an_added_or_removed_import_is_named() {
    let imports = BTreeSet::from(["wasi:clocks/types@0.3.0", "wasi:sockets/tcp@0.2.6"]);
    let found = differences(
        &imports,
        "# Agreed.\nwasi:clocks/types@0.3.0\nwasi:random/random@0.2.6\n",
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("also imports wasi:sockets/tcp@0.2.6,"));
    assert!(found[1].contains("no longer imports wasi:random/random@0.2.6:"));
}
