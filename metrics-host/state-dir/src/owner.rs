//! The application that a state directory belongs to. Its databases are for no other one.

use crate::{StateDir, StateDirError, replace};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// File with the name of the application.
const FILE: &str = "application";

impl StateDir {
    /// Checks that the directory belongs to `application`. One that belongs to nobody belongs to it from now on.
    ///
    /// # Errors
    /// If it belongs to another application, or its owner cannot be read or written.
    pub fn claim(&self, application: &str) -> Result<(), StateDirError> {
        let io_error = |source| StateDirError::Io {
            path: self.path.clone(),
            source,
        };
        match owner(&self.path).map_err(io_error)? {
            None => replace(&file(&self.path), application.as_bytes()).map_err(io_error),
            Some(owner) if owner == application => Ok(()),
            Some(owner) => Err(StateDirError::NotOwned {
                path: self.path.clone(),
                file: file(&self.path),
                owner,
                application: application.to_owned(),
            }),
        }
    }
}

/// Returns the name of the application that the state directory at `path` belongs to, if any.
///
/// # Errors
/// If the file system refuses.
pub fn owner(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file(path)) {
        Ok(owner) => Ok(Some(owner)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn file(path: &Path) -> PathBuf {
    path.join(FILE)
}
