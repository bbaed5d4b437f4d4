//! The rendered files that the repository commits.

use crate::{
    Addresses, File, Settings, TemplateError, Variant, chart::chart, dashboards, package, render,
};

/// A folder of rendered files.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Path in the repository.
    pub path: &'static str,
    /// The rendered files.
    pub files: Vec<File>,
}

/// Renders the committed folders: production on the loopback, the demo that `compose.yaml` mounts and its dashboards, and
/// the rules of the Helm chart.
///
/// # Errors
/// See [`render`].
pub fn committed() -> Result<[Folder; 4], TemplateError> {
    let settings = Settings::of_folder(Variant::Production, &Addresses::loopback());
    let dashboards = dashboards::dashboards(&settings)?.into_iter();
    let dashboards = dashboards.map(|dashboard| File {
        path: dashboard.file,
        text: package::file(&dashboard),
    });
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
            path: "grafana/dashboards",
            files: dashboards.collect(),
        },
        Folder {
            path: "deploy/helm/metrics-host/files",
            files: chart()?,
        },
    ])
}
