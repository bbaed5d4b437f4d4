//! The file in the state directory that holds what Alertmanager told, for after a restart.

use super::Notification;
use std::{fs, io, path::Path};

/// Returns what the file at `path` holds; nothing where there is none.
///
/// # Errors
/// If it cannot be read, or is not what [`write`] writes.
pub(super) fn read(path: &Path) -> io::Result<Vec<Notification>> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Makes `notifications` all that the file holds.
///
/// # Errors
/// If the disk refuses.
pub(super) fn write(path: &Path, notifications: &[Notification]) -> io::Result<()> {
    state_dir::replace(path, &serde_json::to_vec(notifications)?)
}
