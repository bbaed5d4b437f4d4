//! Parses text as `spin.toml`: an accepted manifest can be hosted, and an error names an existing line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use spin_manifest::{Handler, Manifest, ManifestError, Settings};
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
        Err(ManifestError::Problems(problems)) => {
            let lines = 1 + text.matches('\n').count();
            assert!(!problems.is_empty());
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "{problem}");
            }
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
    Manifest::load(&path, &Settings::default())
}

fn check(manifest: &Manifest) {
    for (index, trigger) in manifest.triggers.iter().enumerate() {
        if let Handler::Component(id) = &trigger.handler {
            assert!(manifest.components.contains_key(id));
        }
        let route = &trigger.route;
        assert!(
            manifest.triggers[..index]
                .iter()
                .all(|other| other.route.as_str() != route.as_str()),
            "two triggers have {route}"
        );
        route.captures(route.as_str());
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
