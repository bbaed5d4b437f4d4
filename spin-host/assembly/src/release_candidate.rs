//! Components built against the last release candidate of WASI 0.3, such as those of spin-sdk 6. Its interfaces are those
//! of 0.3.0 under other names, so only the names of a component's imports and exports change.

use crate::rename::{Extern, imports, rename};
use anyhow::Result;
use std::collections::HashSet;
use wasmparser::Parser;

/// Version of the release candidate.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
/// Version of the release.
const RELEASE: &str = "@0.3.0";
/// Another version of the release, for a component that imports both. Build metadata is no difference to the linker.
const TWIN: &str = "@0.3.0+candidate";

/// Returns a component that imports and exports the release in place of the release candidate. A file that is no component,
/// or does not name the candidate, stays as it is.
///
/// # Errors
/// Fails if `wasm` is malformed.
pub(crate) fn released(wasm: Vec<u8>) -> Result<Vec<u8>> {
    if !Parser::is_component(&wasm) {
        return Ok(wasm);
    }
    let imports = imports(&wasm)?.into_iter();
    let imports: HashSet<_> = imports.map(|import| import.name.name.to_owned()).collect();
    rename(wasm, |name| {
        let (Extern::Import(text) | Extern::Export(text)) = name;
        let interface = text.strip_suffix(CANDIDATE)?;
        let release = format!("{interface}{RELEASE}");
        let is_twin = matches!(name, Extern::Import(_)) && imports.contains(&release);
        match interface.starts_with("wasi:") {
            true if is_twin => Some(format!("{interface}{TWIN}")),
            true => Some(release),
            false => None,
        }
    })
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
        assert_eq!(released(candidate).unwrap(), component(RELEASE, CANDIDATE));
        let both = |version| {
            let text = format!(
                r#"(component
                    (import "wasi:random/random{RELEASE}" (instance))
                    (import "wasi:random/random{version}" (instance)))"#
            );
            wat::parse_str(text).unwrap()
        };
        assert_eq!(released(both(CANDIDATE)).unwrap(), both(TWIN));
        let release = component(RELEASE, RELEASE);
        assert_eq!(released(release.clone()).unwrap(), release);
    }

    #[test]
    fn other_files_stay_and_malformed_ones_are_refused() {
        for file in [&b"no module"[..], b"", b"\0asm\x01\0\0\0"] {
            assert_eq!(released(file.to_vec()).unwrap(), file);
        }
        assert!(released(b"\0asm\x0d\0\x01\0\x0a\xff".to_vec()).is_err());
    }
}
