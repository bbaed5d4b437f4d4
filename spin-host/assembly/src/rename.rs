//! Other names for the imports and exports of a component.

use anyhow::Result;
use std::ops::Range;
use wasm_encoder::{Component, Encode, RawSection};
use wasmparser::{ComponentImport, Parser, Payload};

/// Returns a component whose imports and exports have the names that `rename` returns for them; those of components in it
/// stay.
///
/// # Errors
/// Fails if `wasm` is malformed.
pub(crate) fn rename(
    wasm: Vec<u8>,
    rename: impl Fn(Extern<'_>) -> Option<String>,
) -> Result<Vec<u8>> {
    let mut component = Component::new();
    let mut is_changed = false;
    // Number of modules and components around the current section.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&wasm) {
        let payload = payload?;
        let section = payload.as_section().filter(|_| depth == 0);
        match &payload {
            // Their sections and their end follow.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
        let Some((id, range)) = section else {
            continue;
        };
        let mut names = Vec::new();
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let name = import?.name.name;
                    names.push((name, rename(Extern::Import(name))));
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let name = export?.name.name;
                    names.push((name, rename(Extern::Export(name))));
                }
            }
            _ => {}
        }
        is_changed |= names.iter().any(|(_, new)| new.is_some());
        let data = section_with(&wasm, range, &names);
        component.section(&RawSection { id, data: &data });
    }
    Ok(match is_changed {
        true => component.finish(),
        false => wasm,
    })
}

/// Returns the imports of a component; those of components in it are not among them.
///
/// # Errors
/// Fails if `wasm` is malformed.
pub fn imports(wasm: &[u8]) -> Result<Vec<ComponentImport<'_>>> {
    let mut imports = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?);
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

/// The name of an import or an export.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extern<'a> {
    Import(&'a str),
    Export(&'a str),
}

/// Returns the section of `wasm` at `range` with new names; `names` has the old ones, which are parts of it, in their order.
fn section_with(wasm: &[u8], range: Range<usize>, names: &[(&str, Option<String>)]) -> Vec<u8> {
    let mut section = Vec::with_capacity(range.len());
    let mut copied = range.start;
    for (old, new) in names {
        let mut encoded = Vec::new();
        old.encode(&mut encoded);
        let end = old.as_ptr().addr() - wasm.as_ptr().addr() + old.len();
        let start = end - encoded.len();
        // The length before a name may take more bytes than it needs. No tool writes it so.
        if let Some(new) = new
            && wasm[start..end] == encoded
        {
            section.extend_from_slice(&wasm[copied..start]);
            new.as_str().encode(&mut section);
            copied = end;
        }
    }
    section.extend_from_slice(&wasm[copied..range.end]);
    section
}
