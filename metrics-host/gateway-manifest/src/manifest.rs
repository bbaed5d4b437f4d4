//! The part of a manifest that matters to the gateway. Everything else is left to Spin.

use crate::{COMPONENT, SIDECAR};
use serde::{Deserialize, de::IgnoredAny};
use std::{collections::BTreeMap, ops::Range};
use toml::{Spanned, Value};

/// A manifest that cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is not a manifest.
    #[error("not a Spin manifest: {0}")]
    Malformed(String),
    /// The manifest has another version.
    #[error("spin_manifest_version {0} is not supported; the gateway needs version 2")]
    Version(String),
    /// No trigger has a public route.
    #[error(
        "no [[trigger.http]] with a component has a public route, so there is nothing to count"
    )]
    NothingToCount,
    /// A trigger cannot be changed.
    #[error("line {line}: {found}; {remedy}")]
    Trigger {
        /// The line.
        line: usize,
        /// The part that is not understood.
        found: String,
        /// A way out.
        remedy: &'static str,
    },
    /// The application has something with the gateway's name.
    #[error("{0} is there already and not by metrics-host; rename it")]
    Taken(String),
    /// Lines of the gateway are missing.
    #[error(
        "line {line}: after this mark of metrics-host the line {expected:?} is missing; write it again, or remove the lines of the gateway by hand"
    )]
    Incomplete {
        /// The line of the mark.
        line: usize,
        /// The line that is missing.
        expected: &'static str,
    },
}

/// An application that the gateway can stand in front of.
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) triggers: Vec<Trigger>,
}

/// A trigger with a public route.
pub(crate) struct Trigger {
    pub(crate) route: String,
    pub(crate) component: String,
    /// The line of its route, without its end.
    pub(crate) line: Range<usize>,
}

#[derive(Deserialize)]
struct Manifest {
    spin_manifest_version: Spanned<Value>,
    application: Named,
    #[serde(default)]
    variables: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    trigger: BTreeMap<String, Vec<RawTrigger>>,
    #[serde(default)]
    component: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct RawTrigger {
    route: Option<Spanned<Value>>,
    component: Option<Spanned<Value>>,
    executor: Option<Spanned<Value>>,
}

/// Variables of the gateway that `add` keeps.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    /// Address of the sidecar.
    pub(crate) sidecar: Option<String>,
    /// The routes file.
    pub(crate) routes: Option<String>,
}

/// Returns the variables of the gateway in a manifest that has it.
pub(crate) fn variables(text: &str) -> Result<Variables, ManifestError> {
    let malformed = |error: toml::de::Error| ManifestError::Malformed(error.to_string());
    let manifest: toml::Table = toml::from_str(text).map_err(malformed)?;
    let value = |path: &[&str]| {
        let mut value = manifest.get(path[0])?;
        for key in &path[1..] {
            value = value.get(key)?;
        }
        // TOML keeps the line ends of a file in its texts.
        value.as_str().map(|text| text.replace("\r\n", "\n"))
    };
    Ok(Variables {
        sidecar: value(&["variables", SIDECAR, "default"]),
        routes: value(&["component", COMPONENT, "variables", "routes"]),
    })
}

/// Checks that `text` is a manifest.
pub(crate) fn check(text: &str) -> Result<(), ManifestError> {
    parse(text).map(|_| ())
}

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    toml::from_str(text).map_err(|error| ManifestError::Malformed(error.to_string()))
}

pub(crate) fn read(text: &str) -> Result<Application, ManifestError> {
    let manifest = parse(text)?;
    let version = manifest.spin_manifest_version;
    if *version.get_ref() != Value::Integer(2) {
        return Err(ManifestError::Version(text[version.span()].to_owned()));
    }
    if manifest.component.contains_key(COMPONENT) {
        return Err(ManifestError::Taken(format!("component {COMPONENT:?}")));
    }
    if manifest.variables.contains_key(SIDECAR) {
        return Err(ManifestError::Taken(format!("variable {SIDECAR:?}")));
    }
    let mut triggers = Vec::new();
    for raw in manifest
        .trigger
        .into_iter()
        .filter(|(kind, _)| kind == "http")
        .flat_map(|(_, raw)| raw)
    {
        triggers.extend(trigger(text, raw)?);
    }
    match triggers.is_empty() {
        true => Err(ManifestError::NothingToCount),
        false => Ok(Application {
            name: manifest.application.name,
            triggers,
        }),
    }
}

/// Returns a trigger that the gateway takes over: it has a public route and a component.
fn trigger(text: &str, raw: RawTrigger) -> Result<Option<Trigger>, ManifestError> {
    let (Some(route), Some(component)) = (raw.route, raw.component) else {
        // A response without a component, which Spin gives itself.
        return Ok(None);
    };
    let fault = |span: Range<usize>, found: String, remedy| ManifestError::Trigger {
        line: text[..span.start].matches('\n').count() + 1,
        found,
        remedy,
    };
    let span = route.span();
    let route = match route.into_inner() {
        Value::String(route) => route,
        Value::Table(table) if table.get("private") == Some(&Value::Boolean(true)) => {
            return Ok(None);
        }
        _ => {
            let found = format!("route = {} is not known", &text[span.clone()]);
            return Err(fault(span, found, "write a string"));
        }
    };
    let at = component.span();
    let Value::String(component) = component.into_inner() else {
        let found = "the component is defined inside of its trigger".to_owned();
        let remedy = "define it as [component.NAME], so that the gateway can name it";
        return Err(fault(at, found, remedy));
    };
    if let Some(executor) = raw.executor
        && executor.get_ref().get("type").and_then(Value::as_str) == Some("wagi")
    {
        let found = "the executor wagi has no private route".to_owned();
        return Err(fault(executor.span(), found, "use the executor http"));
    }
    let start = text[..span.start].rfind('\n').map_or(0, |end| end + 1);
    let end = text[span.end..]
        .find('\n')
        .map_or(text.len(), |end| span.end + end);
    let end = start + text[start..end].trim_end_matches('\r').len();
    let key = text[start..span.start].trim();
    let key = key.strip_suffix('=').map(str::trim_end);
    let rest = text[span.end..end].trim_start();
    let alone = matches!(key, Some("route" | "\"route\"" | "'route'"))
        && (rest.is_empty() || rest.starts_with('#'));
    if !alone || text[span.clone()].contains('\n') {
        let found = format!("the route {route:?} is not on a line of its own");
        return Err(fault(
            span,
            found,
            "write the trigger as [[trigger.http]] with route = \"…\" on one line",
        ));
    }
    Ok(Some(Trigger {
        route,
        component,
        line: start..end,
    }))
}
