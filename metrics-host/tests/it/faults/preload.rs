//! C libraries that are preloaded into processes.

use crate::stack::workspace;
use std::{path::PathBuf, process::Command};
use tempfile::TempDir;

/// A compiled library, in a directory of its own.
pub(super) struct Preload {
    pub(super) directory: TempDir,
}

impl Preload {
    /// Compiles a source file of this folder.
    pub(super) fn compile(source: &str) -> Self {
        let library = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let source = workspace("metrics-host/tests/it/faults").join(source);
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library.path(), &source])
            .arg("-ldl")
            .status();
        // `cc` links Rust programs, so it is there.
        assert!(compiled.unwrap().success());
        library
    }

    /// Returns the library, for `LD_PRELOAD`.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("preloaded.so")
    }
}
