//! The document `spin.toml`, version 2, before variables are expanded. The module `support` has refused what no host
//! knows; here only values of the wrong type are.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt};
use toml::Spanned;

#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    pub application: Application,
    #[serde(default)]
    pub variables: BTreeMap<Spanned<String>, Variable>,
    #[serde(default)]
    pub trigger: Triggers,
    #[serde(default)]
    pub component: BTreeMap<Spanned<String>, Component>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Application {
    pub name: String,
    #[serde(default)]
    pub version: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Variable {
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Triggers {
    #[serde(default)]
    pub http: Vec<Spanned<HttpTrigger>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HttpTrigger {
    pub route: Spanned<Route>,
    pub component: Option<Spanned<ComponentSpec>>,
    pub static_response: Option<Spanned<StaticResponse>>,
    pub executor: Option<Spanned<Executor>>,
    pub id: Option<String>,
    #[serde(default)]
    pub dependencies: BTreeMap<Spanned<String>, Vec<Spanned<Dependency>>>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a route such as \"/...\", or { private = true }"
)]
pub(crate) enum Route {
    Public(String),
    Private { private: bool },
}

#[derive(Debug, Deserialize)]
pub(crate) struct Executor {
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StaticResponse {
    pub status_code: Option<u16>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
}

/// A component by its id, or written out.
#[derive(Debug)]
pub(crate) enum ComponentSpec {
    Id(String),
    Inline(Box<Component>),
}

impl<'de> Deserialize<'de> for ComponentSpec {
    /// An untagged enum would lose the positions of the values inside.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spec;
        impl<'de> Visitor<'de> for Spec {
            type Value = ComponentSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a component, or a table that defines one")
            }

            fn visit_str<E>(self, id: &str) -> Result<ComponentSpec, E> {
                Ok(ComponentSpec::Id(id.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ComponentSpec, A::Error> {
                Component::deserialize(MapAccessDeserializer::new(map))
                    .map(|component| ComponentSpec::Inline(Box::new(component)))
            }
        }
        deserializer.deserialize_any(Spec)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Component {
    pub source: Spanned<Source>,
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<Spanned<String>>,
    #[serde(default)]
    pub variables: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub sqlite_databases: Vec<Spanned<String>>,
    #[serde(default)]
    pub key_value_stores: Vec<Spanned<String>>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub files: Vec<FileMount>,
    #[serde(default)]
    pub exclude_files: Vec<String>,
    #[serde(default)]
    pub allowed_http_hosts: Vec<String>,
    #[serde(default)]
    pub ai_models: Vec<String>,
    #[serde(default)]
    pub dependencies: BTreeMap<Spanned<String>, Spanned<Dependency>>,
    pub dependencies_inherit_configuration: Option<Spanned<bool>>,
    pub build: Option<Build>,
    #[serde(default)]
    pub profile: BTreeMap<String, Profile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the path of a Wasm file, { url = …, digest = … }, or { registry = …, package = …, version = … }"
)]
pub(crate) enum Source {
    File(String),
    Url { url: String, digest: String },
    Package { package: String },
}

/// A component that another one is composed with.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a version, or a table with `path`, `url` and `digest`, or `component`"
)]
pub(crate) enum Dependency {
    Version(String),
    Table(DependencyTable),
}

/// Every key of a dependency; `resolve` checks which ones belong together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DependencyTable {
    pub path: Option<String>,
    pub url: Option<String>,
    pub digest: Option<String>,
    pub component: Option<String>,
    pub registry: Option<String>,
    pub package: Option<String>,
    pub version: Option<String>,
    pub export: Option<String>,
    pub inherit_configuration: Option<InheritConfiguration>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected true, false or a list of keys")]
pub(crate) enum InheritConfiguration {
    All(bool),
    Some(Vec<String>),
}

/// An entry of `files`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a file, a folder or a pattern, or { source = …, destination = … }"
)]
pub enum FileMount {
    /// Files that the component finds at their own paths.
    Pattern(String),
    /// A file or the contents of a folder, which the component finds elsewhere.
    Placement {
        /// The file or folder, from the folder of the manifest.
        source: String,
        /// Where the component finds it.
        destination: String,
    },
}

impl fmt::Display for FileMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => write!(f, "{pattern:?}"),
            Self::Placement { source, .. } => write!(f, "{source:?}"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Build {
    pub command: Commands,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a command, or a list of commands")]
pub(crate) enum Commands {
    One(String),
    Many(Vec<String>),
}

impl Commands {
    /// Returns the commands as one line of a shell.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::One(command) => command.clone(),
            Self::Many(commands) => commands.join(" && "),
        }
    }
}

/// Changes to a component under `--profile`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Profile {
    source: Option<Spanned<Source>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: BTreeMap<Spanned<String>, Spanned<Dependency>>,
    build: Option<Build>,
}

impl Component {
    /// Applies the profile, if the component has it.
    pub(crate) fn with_profile(mut self, name: Option<&str>) -> Self {
        let Some(profile) = name.and_then(|name| self.profile.remove(name)) else {
            return self;
        };
        self.source = profile.source.unwrap_or(self.source);
        self.environment.extend(profile.environment);
        self.dependencies.extend(profile.dependencies);
        self.build = profile.build.or(self.build);
        self
    }
}
