//! Atomic file replacement.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Replaces the content of the file at `path`: writes a new file beside it, syncs it and renames it into place. Neither
/// a reader nor a power loss sees half of the content.
///
/// # Errors
/// If the disk refuses. The file then holds its old content or the new one, complete.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("unfinished");
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
