//! Replaces a file as a whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Replaces the content of the file at `path`. The new content is written beside it and moved into place, so that
/// neither a reader nor a power loss sees half of it.
///
/// # Errors
/// If the disk refuses. The file then keeps its old content.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
