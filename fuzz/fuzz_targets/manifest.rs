//! Parses text as `spin.toml`: an accepted manifest can be hosted, and an error names an existing line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use spin_manifest::{Manifest, ManifestError};
use std::{
    fs::File,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::PathBuf,
    sync::LazyLock,
};

/// In memory: faster than a disk, and nothing to clean up.
static MANIFEST: LazyLock<File> = LazyLock::new(|| {
    memfd_create("spin.toml", MemfdFlags::CLOEXEC)
        .expect("Linux has files in memory")
        .into()
});

fuzz_target!(|text: &str| {
    match load(text) {
        Ok(manifest) => check(&manifest),
        Err(ManifestError::Unreadable(error)) => panic!("{error}"),
        Err(ManifestError::Malformed { line, .. }) => {
            assert!(
                (1..=1 + text.matches('\n').count()).contains(&line),
                "{line}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn load(text: &str) -> Result<Manifest, ManifestError> {
    MANIFEST
        .set_len(0)
        .and_then(|()| MANIFEST.write_all_at(text.as_bytes(), 0))
        .expect("a file in memory is writable");
    let path = PathBuf::from(format!("/proc/self/fd/{}", MANIFEST.as_raw_fd()));
    Manifest::load(&path, &[])
}

fn check(manifest: &Manifest) {
    assert!(!manifest.triggers.is_empty());
    for (index, trigger) in manifest.triggers.iter().enumerate() {
        assert!(manifest.components.contains_key(&trigger.component));
        let route = &trigger.route;
        assert!(
            manifest.triggers[..index]
                .iter()
                .all(|other| other.route != *route),
            "two triggers answer {route}"
        );
    }
    // The name of a database becomes a file name.
    for name in manifest
        .components
        .values()
        .flat_map(|component| &component.databases)
    {
        assert!(
            !name.is_empty() && !name.contains(['/', '\\', '.', '\0']),
            "{name:?}"
        );
    }
}
