//! The directory that outlives the process: a lock that keeps it to one process, and files that are replaced as a
//! whole.
//!
//! Everything metrics-host keeps (counters, journal, items, notifications) lies in one [`StateDir`]. A second process
//! on the same directory is refused with an error that names it.

mod durable_file;

pub use durable_file::replace;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// An existing directory that this process alone uses until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// Why a directory cannot hold the state.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another process holds the lock.
    #[error("state directory {} is in use by another metrics-host; stop it, or choose another --state-dir", .0.display())]
    InUse(PathBuf),
    /// The file system refused.
    #[error("state directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl StateDir {
    /// Creates the directory where it is missing, readable by its owner alone, and locks it.
    ///
    /// # Errors
    /// If it cannot be created or is in use.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let io_error = |source| StateDirError::Io {
            path: path.to_owned(),
            source,
        };
        create_private(path).map_err(io_error)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of `name` inside the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_serves_one_holder_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        let first = StateDir::open(&path).unwrap();
        assert!(matches!(
            StateDir::open(&path),
            Err(StateDirError::InUse(_))
        ));
        drop(first);
        StateDir::open(&path).unwrap();
    }
}
