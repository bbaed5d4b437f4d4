//! The rendered files that the repository commits.

use crate::{Addresses, File, TemplateError, Variant, render};

/// A folder of rendered files.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Path in the repository.
    pub path: &'static str,
    /// The rendered files.
    pub files: Vec<File>,
}

/// Renders the committed folders: production on the loopback, and the demo that `compose.yaml` mounts.
///
/// # Errors
/// See [`render`].
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
