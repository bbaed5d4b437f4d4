//! OpenAPI 3 documents: `paths` below the path of each server. Everything else in a document is ignored.

use crate::{Listed, RoutesError, template::Template};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use telemetry::method;

/// Status of a successful response, unless the document has another.
const SUCCESS: u16 = 200;
/// References to path items of the same document begin with this.
const PATH_ITEMS: &str = "#/components/pathItems/";

#[derive(Deserialize)]
struct Document {
    openapi: Option<Scalar>,
    swagger: Option<Scalar>,
    servers: Option<Vec<Server>>,
    #[serde(default, deserialize_with = "or_default")]
    paths: Paths,
    #[serde(default, deserialize_with = "or_default")]
    components: Components,
}

#[derive(Default, Deserialize)]
struct Components {
    #[serde(default, deserialize_with = "or_default", rename = "pathItems")]
    path_items: BTreeMap<String, PathItem>,
}

#[derive(Deserialize)]
struct Server {
    url: String,
    #[serde(default, deserialize_with = "or_default")]
    variables: BTreeMap<String, Variable>,
}

#[derive(Deserialize)]
struct Variable {
    default: Scalar,
}

/// The paths, without extensions.
#[derive(Default)]
struct Paths(BTreeMap<String, PathItem>);

#[derive(Default, Deserialize)]
struct PathItem {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    servers: Option<Vec<Server>>,
    get: Option<Operation>,
    head: Option<Operation>,
    post: Option<Operation>,
    put: Option<Operation>,
    delete: Option<Operation>,
    options: Option<Operation>,
    trace: Option<Operation>,
    patch: Option<Operation>,
    query: Option<Operation>,
    #[serde(
        default,
        deserialize_with = "or_default",
        rename = "additionalOperations"
    )]
    additional: BTreeMap<String, Operation>,
}

#[derive(Deserialize)]
struct Operation {
    servers: Option<Vec<Server>>,
    responses: Option<BTreeMap<Scalar, IgnoredAny>>,
}

/// A string that YAML may take for a number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scalar(String);

/// Returns whether `text` claims to be an OpenAPI document, or is at least JSON.
pub(crate) fn is_document(text: &str) -> bool {
    let is_version = |line: &str| {
        let key = line.split(':').next().unwrap_or_default();
        line.contains(':')
            && ["openapi", "swagger"].contains(&key.trim_end().trim_matches(['"', '\'']))
    };
    is_json(text) || text.lines().any(is_version)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

pub(crate) fn parse(text: &str) -> Result<Vec<Listed>, RoutesError> {
    let document: Document = match is_json(text) {
        true => serde_json::from_str(text).map_err(RoutesError::Json)?,
        false => from_yaml(text).map_err(RoutesError::Yaml)?,
    };
    let version = document.openapi.as_ref().or(document.swagger.as_ref());
    let version = version.map_or("", |version| &version.0);
    if !version.starts_with("3.") {
        return Err(RoutesError::Version(version.to_owned()));
    }
    let mut listed = Vec::new();
    for (path, item) in &document.paths.0 {
        let place = format!("path {path:?}");
        let item = document.resolve(item, &place)?;
        for (method, operation) in item.operations() {
            let servers = operation.servers.as_ref();
            let servers = servers
                .or(item.servers.as_ref())
                .or(document.servers.as_ref());
            for base in base_paths(servers, &place)? {
                let text = format!("{base}{path}");
                let template = Template::parse(&text).map_err(|reason| RoutesError::Template {
                    place: place.clone(),
                    template: text,
                    reason,
                })?;
                listed.push(Listed {
                    place: place.clone(),
                    method: Some(method),
                    template,
                    status: operation.success(),
                });
            }
        }
    }
    Ok(listed)
}

/// Reads YAML, with the merge keys (`<<`) of version 1.1, which tools for OpenAPI apply.
fn from_yaml(text: &str) -> Result<Document, yaml_serde::Error> {
    let merge_keys = text.matches("<<").count();
    if merge_keys == 0 {
        // Errors name a line only here.
        return yaml_serde::from_str(text);
    }
    let mut value: yaml_serde::Value = yaml_serde::from_str(text)?;
    // A map that is merged can bring a merge key of its own.
    for _ in 0..merge_keys {
        value.apply_merge()?;
    }
    yaml_serde::from_value(value)
}

impl Document {
    /// Follows a reference to a path item of the document.
    fn resolve<'a>(&'a self, item: &'a PathItem, place: &str) -> Result<&'a PathItem, RoutesError> {
        let Some(reference) = &item.reference else {
            return Ok(item);
        };
        let name = reference.strip_prefix(PATH_ITEMS);
        let name = name.map(|name| name.replace("~1", "/").replace("~0", "~"));
        let found = name.and_then(|name| self.components.path_items.get(&name));
        found.ok_or_else(|| RoutesError::Reference {
            place: place.to_owned(),
            reference: reference.clone(),
        })
    }
}

impl PathItem {
    fn operations(&self) -> impl Iterator<Item = (&'static str, &Operation)> {
        let named = [
            ("GET", &self.get),
            ("HEAD", &self.head),
            ("POST", &self.post),
            ("PUT", &self.put),
            ("DELETE", &self.delete),
            ("OPTIONS", &self.options),
            ("TRACE", &self.trace),
            ("PATCH", &self.patch),
            (method::OTHER, &self.query),
        ];
        let named = named
            .into_iter()
            .filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
        let additional = self.additional.iter();
        named.chain(additional.map(|(method, operation)| (method::normalize(method), operation)))
    }
}

impl Operation {
    /// Returns the lowest documented status of a success, or else of a redirect.
    fn success(&self) -> u16 {
        let documented = self.responses.iter().flatten();
        let statuses = documented.filter_map(|(status, _)| status.0.parse().ok());
        statuses
            .filter(|status| (200..400).contains(status))
            .min()
            .unwrap_or(SUCCESS)
    }
}

/// Returns the distinct base paths of servers, without a slash at the end.
fn base_paths(servers: Option<&Vec<Server>>, place: &str) -> Result<BTreeSet<String>, RoutesError> {
    let servers = servers.into_iter().flatten();
    let mut bases = servers
        .map(|server| {
            base_path(server).ok_or_else(|| RoutesError::Server {
                place: place.to_owned(),
                url: server.url.clone(),
            })
        })
        .collect::<Result<BTreeSet<_>, _>>()?;
    if bases.is_empty() {
        bases.insert(String::new());
    }
    Ok(bases)
}

/// Returns the path of a server's URL, with the defaults of its variables.
fn base_path(server: &Server) -> Option<String> {
    let mut url = server.url.trim().to_owned();
    for (name, variable) in &server.variables {
        url = url.replace(&format!("{{{name}}}"), &variable.default.0);
    }
    let path = match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            rest.find('/').map_or("", |start| &rest[start..])
        }
        _ if url.is_empty() || url.starts_with('/') => &url,
        _ => return None,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    (!path.contains(['{', '}'])).then(|| path.to_owned())
}

/// Takes `null` for an empty value, which YAML writes as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyScalar;
        impl Visitor<'_> for AnyScalar {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a number")
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(format!("{value:?}")))
            }
        }
        deserializer.deserialize_any(AnyScalar)
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyPaths;
        impl<'de> Visitor<'de> for AnyPaths {
            type Value = Paths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of paths")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Paths, A::Error> {
                let mut paths = BTreeMap::new();
                while let Some(path) = map.next_key::<String>()? {
                    if path.starts_with("x-") {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let item = map.next_value::<Option<_>>()?.unwrap_or_default();
                    if paths.insert(path.clone(), item).is_some() {
                        return Err(A::Error::custom(format!("path {path:?} is there twice")));
                    }
                }
                Ok(Paths(paths))
            }
        }
        deserializer.deserialize_map(AnyPaths)
    }
}
