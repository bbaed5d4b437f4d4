//! The directory whose content outlives the process.
//!
//! metrics-host stores everything it must not lose (counters, journal, items, notifications) in one [`StateDir`]. Only
//! one process can open it; a second one gets an error that names the directory. The kernel holds the lock, so it ends
//! with the process, also after `kill -9`. [`StateDir::claim`] keeps the state of two applications apart. [`replace`] changes
//! a file atomically.

mod durable_file;
mod owner;

pub use durable_file::replace;
pub use owner::owner;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// An existing directory, locked by this process until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// An error of [`StateDir::open`].
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another process holds the lock.
    #[error("state directory {} is in use by another metrics-host; stop it, or choose another --state-dir", .0.display())]
    InUse(PathBuf),
    /// The directory belongs to another application.
    #[error(
        "state directory {} belongs to application {owner:?}, not to {application:?}; choose another with --state-dir \
         (METRICS_HOST_STATE_DIR), or remove {} to continue it: {application:?} then has its databases, and the counters \
         of {owner:?} stay on /metrics under its name",
        path.display(), file.display()
    )]
    NotOwned {
        /// The directory.
        path: PathBuf,
        /// The file that says so.
        file: PathBuf,
        /// The application to which it belongs.
        owner: String,
        /// The application that is to use it.
        application: String,
    },
    /// The directory or a file in it cannot be created or read.
    #[error("state directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
}

impl StateDir {
    /// Locks the directory; creates it first, with mode 0700, if it is missing.
    ///
    /// # Errors
    /// If the directory is in use or cannot be created.
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

    /// Returns the path of the file `name` in the directory.
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
    fn a_directory_has_one_holder_at_a_time() {
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

    #[test]
    fn a_directory_belongs_to_the_first_application_that_claims_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(owner(directory.path()).unwrap(), None);
        let state = StateDir::open(directory.path()).unwrap();
        state.claim("shop").unwrap();
        state.claim("shop").unwrap();
        assert_eq!(owner(directory.path()).unwrap(), Some("shop".into()));
        let refused = state.claim("blog").unwrap_err();
        let StateDirError::NotOwned { file, .. } = &refused else {
            panic!("{refused}");
        };
        fs::remove_file(file).unwrap();
        state.claim("blog").unwrap();
        assert_eq!(owner(directory.path()).unwrap(), Some("blog".into()));
    }
}
