//! The rendered files that the repository commits.

use crate::{Addresses, File, TemplateError, Variant, chart::chart, render};

/// A folder of rendered files.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Path in the repository.
    pub path: &'static str,
    /// The rendered files.
    pub files: Vec<File>,
}

/// Renders the committed folders: production on the loopback, the demo that `compose.yaml` mounts, and the rules of the
/// Helm chart.
///
/// # Errors
/// See [`render`].
pub fn committed() -> Result<[Folder; 3], TemplateError> {
    Ok([
        Folder {
            path: "alerts",
            files: render(Variant::Production, &Addresses::loopback())?,
        },
        Folder {
            path: "alerts/demo",
            files: render(Variant::Demo, &Addresses::compose())?,
        },
        Folder {
            path: "deploy/helm/metrics-host/files",
            files: chart()?,
        },
    ])
}
