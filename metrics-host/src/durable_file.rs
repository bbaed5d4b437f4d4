//! Replacing a file as a whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Makes `content` all that the file at `path` holds. It is written beside its place and moved there, so that neither
/// a reader nor a loss of power finds half of it.
///
/// # Errors
/// If the disk refuses; before the move the file is as it was.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
