//! Components built against the last release candidate of WASI 0.3, such as those of spin-sdk 6. Its interfaces are those
//! of 0.3.0 under other names, so only the names of a component's imports and exports change.

use std::{borrow::Cow, ops::Range};
use wasm_encoder::{Component, Encode, RawSection};
use wasmparser::{BinaryReaderError, Parser, Payload};

/// Version of the release candidate.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
/// Version of the release.
const RELEASE: &str = "@0.3.0";

/// Returns a component that imports and exports the release in place of the release candidate. A file that is no component,
/// or does not name the candidate, stays as it is.
///
/// # Errors
/// Fails if `wasm` is malformed.
pub(crate) fn released(wasm: &[u8]) -> Result<Cow<'_, [u8]>, BinaryReaderError> {
    if !Parser::is_component(wasm) {
        return Ok(wasm.into());
    }
    let mut component = Component::new();
    let mut is_changed = false;
    // Imports and exports of nested components are their own business.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let is_own = depth == 0;
        depth += match &payload {
            // Their sections and their end follow.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => 1,
            Payload::End(_) => -1,
            _ => 0,
        };
        let Some((id, range)) = payload.as_section().filter(|_| is_own) else {
            continue;
        };
        let mut names = Vec::new();
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    names.push(import?.name.name);
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    names.push(export?.name.name);
                }
            }
            _ => {}
        }
        let data = renamed(wasm, range, &names);
        is_changed |= matches!(data, Cow::Owned(_));
        component.section(&RawSection { id, data: &data });
    }
    Ok(match is_changed {
        true => component.finish().into(),
        false => wasm.into(),
    })
}

/// Returns the section of `wasm` at `range` with the candidate's version replaced in `names`, which are parts of it in this
/// order.
fn renamed<'a>(wasm: &'a [u8], range: Range<usize>, names: &[&'a str]) -> Cow<'a, [u8]> {
    let mut new = Vec::new();
    let mut copied = range.start;
    for name in names {
        let Some(interface) = name.strip_suffix(CANDIDATE) else {
            continue;
        };
        let mut old = Vec::new();
        name.encode(&mut old);
        let end = name.as_ptr().addr() - wasm.as_ptr().addr() + name.len();
        let start = end - old.len();
        // The length before a name may take more bytes than it needs. No tool writes it so.
        if !interface.starts_with("wasi:") || wasm[start..end] != old {
            continue;
        }
        new.extend_from_slice(&wasm[copied..start]);
        format!("{interface}{RELEASE}").as_str().encode(&mut new);
        copied = end;
    }
    if new.is_empty() {
        return wasm[range].into();
    }
    new.extend_from_slice(&wasm[copied..range.end]);
    new.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_the_candidate_change() {
        let component = |version: &str, other: &str| {
            let text = format!(
                r#"(component
                    (import "wasi:random/random{version}" (instance $random (export "get" (func (result u64)))))
                    (import "wasi:random/random@0.2.0" (instance))
                    (import "shop:cart/cart{other}" (instance))
                    (component $inner
                        (import "wasi:random/random{other}" (instance (export "get" (func (result u64))))))
                    (instance (instantiate $inner (with "wasi:random/random{other}" (instance $random))))
                    (alias export $random "get" (func $get))
                    (instance $handler (export "handle" (func $get)))
                    (core module)
                    (export "wasi:http/handler{version}" (instance $handler))
                )"#
            );
            wat::parse_str(text).unwrap()
        };
        let candidate = component(CANDIDATE, CANDIDATE);
        assert_eq!(released(&candidate).unwrap(), component(RELEASE, CANDIDATE));
        let released_long_ago = component(RELEASE, RELEASE);
        assert!(matches!(released(&released_long_ago), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn other_files_stay_and_malformed_ones_are_refused() {
        for file in [&b"no module"[..], b"", b"\0asm\x01\0\0\0"] {
            assert_eq!(released(file).unwrap(), file);
        }
        assert!(released(b"\0asm\x0d\0\x01\0\x0a\xff").is_err());
    }
}
