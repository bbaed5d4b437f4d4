//! The component as it was built: what it asks its host for, and its size, are what was agreed to.

use std::{collections::BTreeSet, fs, path::Path};
use wasmparser::{Parser, Payload};

/// The component, as `spin.toml` names it.
const COMPONENT: &str = "../target/wasm32-wasip2/component/items_component.wasm";
/// What it may import, one a line.
const AGREED: &str = include_str!("../../imports.txt");
/// A tenth above its size when this was last set. A dependency that is linked in by mistake is larger than what is left.
const LARGEST: usize = 750_000;

/// Returns the component's bytes.
fn component() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMPONENT);
    fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run `make component`", path.display());
    })
}

/// Returns the names of what a component imports, not those of the modules and components in it.
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

/// Returns what is to be said of imports that are not those of `agreed`.
fn complaints(imports: &BTreeSet<&str>, agreed: &str) -> Vec<String> {
    let lines = agreed.lines().filter(|line| !line.starts_with('#'));
    let agreed: BTreeSet<_> = lines.collect();
    let added = imports.difference(&agreed).map(|name| {
        format!(
            "the component also asks for {name}, which every host would have to grant; to agree, add that line to \
             items-component/imports.txt, and say in the commit what it is for"
        )
    });
    let gone = agreed.difference(imports).map(|name| {
        format!("the component does not ask for {name} any more: remove it from items-component/imports.txt")
    });
    added.chain(gone).collect()
}

#[test]
fn it_asks_for_what_was_agreed() {
    let said = complaints(&imports(&component()), AGREED);
    assert!(said.is_empty(), "{}", said.join("\n"));
}

#[test]
fn it_is_no_larger_than_was_agreed() {
    let size = component().len();
    assert!(
        size <= LARGEST,
        "the component has {size} bytes, and {LARGEST} were agreed; look what was linked in. To agree, raise LARGEST in \
         items-component/tests/it/artefact.rs, and say in the commit what it is for"
    );
}

#[test]
fn what_is_added_or_gone_is_named() {
    let imports = BTreeSet::from(["wasi:clocks/types@0.3.0", "wasi:sockets/tcp@0.2.6"]);
    let said = complaints(
        &imports,
        "# Agreed.\nwasi:clocks/types@0.3.0\nwasi:random/random@0.2.6\n",
    );
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("also asks for wasi:sockets/tcp@0.2.6,"));
    assert!(said[1].contains("not ask for wasi:random/random@0.2.6 any more"));
}
