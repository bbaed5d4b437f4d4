//! Reads a Spin manifest (`spin.toml`, version 2): triggers, components, and what each component may use.
//!
//! [`Manifest::load`] returns an application with its variables expanded. [`KEYS`] lists every key of a manifest. A key
//! that would have an effect at run time but is not supported is a [`Problem`] with its line; all problems of a manifest
//! are reported together. Keys that only concern other tools are skipped. The crate `spin-host` runs the result.
//!
//! The crate needs no Wasmtime and opens no file but the manifest, so its tests and fuzz targets build in seconds.

mod allowed_hosts;
mod dependency;
mod document;
mod id;
mod problem;
mod resolve;
mod route;
mod runtime_config;
mod static_response;
mod support;
mod template;

pub use allowed_hosts::{AllowedHosts, AllowedHostsError};
pub use dependency::{Dependency, DependencyName, Inherited, Middleware, compatible};
pub use document::FileMount;
pub use problem::{ManifestError, Problem};
pub use route::{Captures, RouteError, TriggerRoute};
pub use runtime_config::{Location, OutboundLimits, RUNTIME_KEYS, RuntimeConfig};
pub use static_response::StaticResponse;
pub use support::{KEYS, Key, Support};
pub use template::TemplateError;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

/// Prefix of paths that the host serves in place of the application.
pub const WELL_KNOWN: &str = "/.well-known/spin/";

/// Values that the command line adds to a manifest.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Names of variables, in lower case, with values that take precedence over the defaults. The first one counts.
    pub variables: Vec<(String, String)>,
    /// Environment variables of every component.
    pub environment: Vec<(String, String)>,
    /// The build profile.
    pub profile: Option<String>,
    /// Places of stores and databases, and limits.
    pub runtime: RuntimeConfig,
}

/// An application with its variables expanded.
#[derive(Debug)]
pub struct Manifest {
    /// Name of the application.
    pub name: String,
    /// Version of the application.
    pub version: String,
    /// Public routes with their components, in the order of the manifest.
    pub triggers: Vec<Trigger>,
    /// Components that a trigger names, by id.
    pub components: BTreeMap<String, ComponentManifest>,
    /// The application's variables.
    pub variables: HashMap<String, String>,
    /// Places of stores and databases, and limits.
    pub runtime: RuntimeConfig,
    /// Remarks that the author may not expect.
    pub warnings: Vec<Problem>,
}

/// A route and what serves it.
#[derive(Debug)]
pub struct Trigger {
    /// Paths of the trigger.
    pub route: TriggerRoute,
    /// Handler of the route.
    pub handler: Handler,
}

/// Handler of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// The component with this id.
    Component(String),
    /// The host itself.
    Static(StaticResponse),
}

/// A component and its permissions.
#[derive(Clone, Debug)]
pub struct ComponentManifest {
    /// Name of the component, under which it is counted. Copies of a component with different middleware share it.
    pub name: String,
    /// The Wasm file.
    pub source: Source,
    /// Components that satisfy its imports.
    pub dependencies: Vec<Dependency>,
    /// Components that stand before it, outermost first.
    pub middleware: Vec<Middleware>,
    /// Command that builds the file, if the manifest names one.
    pub build_command: Option<String>,
    /// Values of `spin:variables`.
    pub variables: HashMap<String, String>,
    /// Destinations that the component may connect to.
    pub allowed_hosts: AllowedHosts,
    /// Names of the databases that the component may open.
    pub databases: Vec<String>,
    /// Labels of the key-value stores that the component may open.
    pub key_value_stores: Vec<String>,
    /// Environment variables of the component.
    pub environment: Vec<(String, String)>,
    /// Files that the component can read.
    pub files: Files,
}

/// The place of a Wasm file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A download.
    Url {
        /// Where it comes from: `http` or `https`.
        url: String,
        /// SHA-256 of its content, in lower-case hexadecimal digits.
        sha256: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => url.fmt(f),
        }
    }
}

/// Files that a component can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Folder of the manifest.
    pub root: PathBuf,
    /// The files, and where the component finds them.
    pub mounts: Vec<FileMount>,
    /// Patterns of files that are left out.
    pub exclude: Vec<String>,
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or the application cannot be hosted as written.
    pub fn load(path: &Path, settings: &Settings) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(ManifestError::Unreadable)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")), settings)
    }

    /// Returns the routes that the host serves in place of the application, as Spin does.
    pub fn well_known(&self) -> Vec<(TriggerRoute, StaticResponse)> {
        static_response::well_known(&self.name, &self.version)
    }

    /// Reads the text of a manifest in `directory`.
    ///
    /// # Errors
    /// Fails if the application cannot be hosted as written.
    pub fn parse(text: &str, directory: &Path, settings: &Settings) -> Result<Self, ManifestError> {
        resolve::manifest(text, directory, settings)
    }
}

#[cfg(test)]
mod tests;
