//! The file in the state directory that holds what Alertmanager told, for after a restart.

use super::Notification;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

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

/// Makes `notifications` all that the file holds. It is written beside its place and moved there, so that neither a
/// reader nor a loss of power finds half of it.
///
/// # Errors
/// If the disk refuses; the file is then as it was.
pub(super) fn write(path: &Path, notifications: &[Notification]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(&serde_json::to_vec(notifications)?)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
