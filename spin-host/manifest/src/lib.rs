//! Reads a Spin manifest (`spin.toml`, version 2): triggers, components, and what each component may use.
//!
//! [`Manifest::load`] returns an application with its variables expanded. A key that would have an effect at run time
//! but is not supported is an error that names the key. Keys that only concern other tools are skipped. The crate
//! `spin-host` runs the result.
//!
//! The crate needs no Wasmtime and opens no file but the manifest, so its tests and fuzz targets build in seconds.

mod allowed_hosts;
mod document;
mod route;
mod template;

pub use allowed_hosts::{AllowedHosts, AllowedHostsError};
pub use route::{RouteError, TriggerRoute};
pub use template::TemplateError;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// An application with its variables expanded.
#[derive(Debug)]
pub struct Manifest {
    /// Name of the application.
    pub name: String,
    /// Version of the application.
    pub version: String,
    /// Routes with their components.
    pub triggers: Vec<Trigger>,
    /// Components that a trigger names, by id.
    pub components: BTreeMap<String, ComponentManifest>,
    /// The application's variables.
    pub variables: HashMap<String, String>,
}

/// A route and the component that serves it.
#[derive(Debug)]
pub struct Trigger {
    /// Paths of the trigger.
    pub route: TriggerRoute,
    /// Id of the component.
    pub component: String,
}

/// A component and its permissions.
#[derive(Debug)]
pub struct ComponentManifest {
    /// Path of the Wasm file.
    pub source: PathBuf,
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
}

/// The reason why a manifest cannot be hosted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages explain the variants")]
pub enum ManifestError {
    #[error("cannot be read")]
    Unreadable(#[source] std::io::Error),
    #[error("line {line}: {message}")]
    Malformed { line: usize, message: String },
    #[error("spin_manifest_version {0} is not supported; only 2 is")]
    Version(i64),
    #[error(
        "{place}: {key:?} is not supported by metrics-host; remove it, or run the application with `spin up`"
    )]
    Unsupported { place: String, key: String },
    #[error("no [[trigger.http]]: nothing to serve")]
    NoTrigger,
    #[error("trigger.http route {route:?}")]
    Route {
        route: String,
        #[source]
        source: RouteError,
    },
    #[error("two triggers have the route {0:?}")]
    DuplicateRoute(String),
    #[error("trigger.http route {route:?} names component {component:?}, which does not exist")]
    NoComponent { route: String, component: String },
    #[error("variable {name:?} is required: set {environment}", environment = environment_name(name))]
    VariableRequired { name: String },
    #[error("variable {name:?} needs either a default or `required = true`")]
    VariableWithoutDefault { name: String },
    #[error("component {component:?}, {key} {text:?}")]
    Template {
        component: String,
        key: String,
        text: String,
        #[source]
        source: TemplateError,
    },
    #[error("component {component:?}, allowed_outbound_hosts")]
    AllowedHosts {
        component: String,
        #[source]
        source: AllowedHostsError,
    },
    #[error(
        "component {component:?}, sqlite_databases: {database:?} is not a name; expected letters, digits, - and _"
    )]
    DatabaseName { component: String, database: String },
}

fn environment_name(variable: &str) -> String {
    format!("SPIN_VARIABLE_{}", variable.to_uppercase())
}

impl Manifest {
    /// Reads the manifest at `path`. `overrides` are names of variables, in lower case, with values that take
    /// precedence over the defaults.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or the application cannot be hosted as written.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(ManifestError::Unreadable)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")), overrides)
    }

    fn parse(
        text: &str,
        directory: &Path,
        overrides: &[(String, String)],
    ) -> Result<Self, ManifestError> {
        let document: document::Document =
            toml::from_str(text).map_err(|error| malformed(text, &error))?;
        document.check()?;
        let variables = resolve_variables(&document.variables, overrides)?;
        let mut triggers: Vec<Trigger> = Vec::new();
        let mut components = BTreeMap::new();
        for trigger in document.trigger.http {
            let route: TriggerRoute =
                trigger
                    .route
                    .parse()
                    .map_err(|source| ManifestError::Route {
                        route: trigger.route.clone(),
                        source,
                    })?;
            if triggers.iter().any(|other| other.route == route) {
                return Err(ManifestError::DuplicateRoute(trigger.route));
            }
            let declared = document.component.get(&trigger.component).ok_or_else(|| {
                ManifestError::NoComponent {
                    route: trigger.route.clone(),
                    component: trigger.component.clone(),
                }
            })?;
            if !components.contains_key(&trigger.component) {
                let component =
                    resolve_component(&trigger.component, declared, directory, &variables)?;
                components.insert(trigger.component.clone(), component);
            }
            triggers.push(Trigger {
                route,
                component: trigger.component,
            });
        }
        if triggers.is_empty() {
            return Err(ManifestError::NoTrigger);
        }
        Ok(Self {
            name: document.application.name,
            version: document.application.version,
            triggers,
            components,
            variables,
        })
    }
}

/// Puts an error of the parser on one line; its own rendering takes several.
fn malformed(text: &str, error: &toml::de::Error) -> ManifestError {
    let before = error
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    ManifestError::Malformed {
        line: 1 + before.matches('\n').count(),
        message: error.message().to_owned(),
    }
}

fn resolve_variables(
    declared: &BTreeMap<String, document::Variable>,
    overrides: &[(String, String)],
) -> Result<HashMap<String, String>, ManifestError> {
    let resolve = |name: &String, variable: &document::Variable| {
        if let Some((_, value)) = overrides.iter().find(|(overridden, _)| overridden == name) {
            return Ok(value.clone());
        }
        match &variable.default {
            Some(default) => Ok(default.clone()),
            None if variable.required => {
                Err(ManifestError::VariableRequired { name: name.clone() })
            }
            None => Err(ManifestError::VariableWithoutDefault { name: name.clone() }),
        }
    };
    declared
        .iter()
        .map(|(name, variable)| Ok((name.clone(), resolve(name, variable)?)))
        .collect()
}

fn resolve_component(
    id: &str,
    declared: &document::Component,
    directory: &Path,
    variables: &HashMap<String, String>,
) -> Result<ComponentManifest, ManifestError> {
    let expand = |key: &str, text: &String| {
        template::expand(text, variables).map_err(|source| ManifestError::Template {
            component: id.to_owned(),
            key: key.to_owned(),
            text: text.clone(),
            source,
        })
    };
    let hosts = declared
        .allowed_outbound_hosts
        .iter()
        .map(|host| expand("allowed_outbound_hosts", host))
        .collect::<Result<Vec<_>, _>>()?;
    let is_name = |name: &&String| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if let Some(database) = declared.sqlite_databases.iter().find(|name| !is_name(name)) {
        return Err(ManifestError::DatabaseName {
            component: id.to_owned(),
            database: database.clone(),
        });
    }
    Ok(ComponentManifest {
        source: directory.join(&declared.source),
        build_command: declared
            .build
            .as_ref()
            .and_then(|build| build.command.clone()),
        variables: declared
            .variables
            .iter()
            .map(|(name, text)| Ok((name.clone(), expand("variables", text)?)))
            .collect::<Result<_, ManifestError>>()?,
        allowed_hosts: AllowedHosts::parse(&hosts).map_err(|source| {
            ManifestError::AllowedHosts {
                component: id.to_owned(),
                source,
            }
        })?,
        databases: declared.sqlite_databases.clone(),
        key_value_stores: declared.key_value_stores.clone(),
        environment: declared.environment.clone().into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "items"
        version = "1.2.3"
        authors = ["somebody"]
        [variables]
        telemetry = { default = "otlp" }
        telemetry_host = { default = "127.0.0.1:4318" }
        [[trigger.http]]
        route = "/..."
        component = "items"
        [component.items]
        source = "items.wasm"
        allowed_outbound_hosts = ["http://{{ telemetry_host }}"]
        sqlite_databases = ["default"]
        key_value_stores = ["default"]
        ai_models = []
        [component.items.variables]
        telemetry = "{{ telemetry }}"
        [component.items.build]
        command = "make"
    "#;

    fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<Manifest, String> {
        let overrides: Vec<_> = overrides
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        Manifest::parse(text, Path::new("app"), &overrides)
            .map_err(|error| format!("{:#}", anyhow::Error::new(error)))
    }

    #[test]
    fn an_application_is_read_with_its_variables_expanded() {
        let manifest = parse(MANIFEST, &[("telemetry_host", "127.0.0.1:9")]).unwrap();
        let component = &manifest.components["items"];
        assert_eq!(component.source, Path::new("app/items.wasm"));
        assert_eq!(component.variables["telemetry"], "otlp");
        assert_eq!(component.key_value_stores, ["default"]);
        assert!(component.allowed_hosts.allows("http", "127.0.0.1", 9));
        assert!(!component.allowed_hosts.allows("http", "127.0.0.1", 4318));
        assert_eq!(manifest.variables["telemetry_host"], "127.0.0.1:9");
    }

    #[test]
    fn an_override_wins_over_the_default() {
        let manifest = parse(MANIFEST, &[("telemetry", "inline")]).unwrap();
        assert_eq!(
            manifest.components["items"].variables["telemetry"],
            "inline"
        );
    }

    #[test]
    fn an_unsupported_key_or_value_is_named() {
        let cases = [
            ("ai_models = []", "ai_models = [\"a\"]", "ai_models"),
            ("ai_models = []", "files = [\"a\"]", "\"files\""),
            ("ai_models = []", "colour = 1", "colour"),
            ("[[trigger.http]]", "[[trigger.redis]]", "redis"),
            ("authors", "owners", "owners"),
            (
                "spin_manifest_version = 2",
                "spin_manifest_version = 1",
                "spin_manifest_version 1",
            ),
            (
                "component = \"items\"",
                "component = \"other\"",
                "\"other\", which does not exist",
            ),
            (
                "{{ telemetry_host }}",
                "{{ telemetry_hots }}",
                "telemetry_hots",
            ),
            ("http://{{ telemetry_host }}", "127.0.0.1", "127.0.0.1"),
            ("\"/...\"", "\"items\"", "\"items\""),
            (
                "databases = [\"default\"]",
                "databases = [\"../x\"]",
                "../x",
            ),
            (
                "{ default = \"127.0.0.1:4318\" }",
                "{ required = true }",
                "SPIN_VARIABLE_TELEMETRY_HOST",
            ),
        ];
        for (original, replacement, expected) in cases {
            let text = MANIFEST.replacen(original, replacement, 1);
            let error = parse(&text, &[]).map(|_| ()).unwrap_err();
            assert!(error.contains(expected), "{replacement}: {error}");
        }
    }
}
