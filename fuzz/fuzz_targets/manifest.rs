//! Text as `spin.toml`: what is accepted can be hosted, what is refused is refused at a line that is there.

#![no_main]

#[path = "../../metrics-host/src/guest"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    reason = "the files are a library's, and reading a manifest takes only a part of them"
)]
mod guest {
    mod allowed_hosts;
    mod manifest;
    mod route;
    mod template;

    pub use manifest::{Manifest, ManifestError};
}

use guest::{Manifest, ManifestError};
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::PathBuf,
    sync::LazyLock,
};

/// In memory, so that the disk does not set the pace and nothing is left behind.
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
    // A database's name becomes that of its file.
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
