//! The file in the state directory that holds the notifications.

use super::Notification;
use std::{fs, io, path::Path};

/// Reads the file at `path`. A missing file is empty.
///
/// # Errors
/// Fails if the file cannot be read, or was not written by [`write`].
pub(super) fn read(path: &Path) -> io::Result<Vec<Notification>> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Replaces the content of the file at `path`.
///
/// # Errors
/// Fails if the file cannot be written.
pub(super) fn write(path: &Path, notifications: &[Notification]) -> io::Result<()> {
    state_dir::replace(path, &serde_json::to_vec(notifications)?)
}
