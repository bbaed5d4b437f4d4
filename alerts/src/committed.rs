//! The rendered files that are part of the repository.

use crate::{Addresses, File, TemplateError, Variant, render};

/// A folder of rendered files.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Path in the repository.
    pub path: &'static str,
    /// What belongs there.
    pub files: Vec<File>,
}

/// Returns the folders that are committed: production on the loopback, and the demo that `compose.yaml` mounts.
///
/// # Errors
/// Those of [`render`].
pub fn committed() -> Result<[Folder; 2], TemplateError> {
    Ok([
        Folder {
            path: "alerts",
            files: render(Variant::Production, &Addresses::loopback())?,
        },
        Folder {
            path: "alerts/demo",
            files: render(Variant::Demo, &Addresses::compose())?,
        },
    ])
}
