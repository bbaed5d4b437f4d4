//! The document `spin.toml`, version 2, before variables are expanded.

use crate::ManifestError;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    spin_manifest_version: i64,
    pub application: Application,
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    #[serde(default)]
    pub trigger: Triggers,
    #[serde(default)]
    pub component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Application {
    pub name: String,
    #[serde(default)]
    pub version: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    #[serde(default, rename = "secret")]
    _secret: bool,
    #[serde(default, rename = "description")]
    _description: String,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Triggers {
    #[serde(default)]
    pub http: Vec<HttpTrigger>,
    #[serde(flatten)]
    other: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpTrigger {
    pub route: String,
    pub component: String,
    #[serde(default, rename = "id")]
    _id: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Component {
    pub source: String,
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    #[serde(default)]
    pub sqlite_databases: Vec<String>,
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    pub build: Option<Build>,
    #[serde(flatten)]
    other: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Build {
    pub command: Option<String>,
}

/// Keys of a component that have no effect at run time.
const IGNORED: [&str; 4] = ["description", "exclude_files", "targets", "tool"];

impl Document {
    /// Refuses keys that would have an effect but are not supported. An empty value has no effect.
    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        if self.spin_manifest_version != 2 {
            return Err(ManifestError::Version(self.spin_manifest_version));
        }
        if let Some(kind) = self.trigger.other.keys().next() {
            return Err(ManifestError::Unsupported {
                place: "trigger".into(),
                key: kind.clone(),
            });
        }
        for (id, component) in &self.component {
            let unsupported = component
                .other
                .iter()
                .find(|(key, value)| !IGNORED.contains(&key.as_str()) && !is_empty(value));
            if let Some((key, _)) = unsupported {
                return Err(ManifestError::Unsupported {
                    place: format!("component {id:?}"),
                    key: key.clone(),
                });
            }
        }
        Ok(())
    }
}

fn is_empty(value: &toml::Value) -> bool {
    match value {
        toml::Value::Array(values) => values.is_empty(),
        toml::Value::Table(values) => values.is_empty(),
        toml::Value::String(text) => text.is_empty(),
        toml::Value::Boolean(set) => !set,
        _ => false,
    }
}
