//! Components that a component is composed with: dependencies, which satisfy its imports, and middleware, which stands
//! before it.

use crate::{
    ComponentManifest, Source,
    document::{self, Component, DependencyTable, InheritConfiguration},
    id,
    problem::Problems,
    resolve,
};
use std::{collections::BTreeMap, fmt, ops::Range, path::Path, str::FromStr};
use toml::Spanned;

/// A component that satisfies imports of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The imports that it satisfies.
    pub name: DependencyName,
    /// The Wasm file.
    pub source: Source,
    /// The export that satisfies the imports, if it is not called like them.
    pub export: Option<String>,
    /// The part of the component's configuration that it may use.
    pub inherited: Inherited,
}

/// A component that stands before another one and passes requests on to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// The Wasm file.
    pub source: Source,
    /// The part of the component's configuration that it may use.
    pub inherited: Inherited,
}

/// The part of a component's configuration that a dependency may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// All of it.
    All,
    /// These keys, such as `key_value_stores`.
    Keys(Vec<String>),
}

/// Keys of a component that a dependency can inherit.
const INHERITABLE: [&str; 7] = [
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

impl Inherited {
    /// Returns whether a dependency may use what `key` grants.
    pub fn includes(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.iter().any(|inherited| inherited == key),
        }
    }
}

/// A name in `dependencies`: `some-name`, or `namespace:package`, with or without `/interface` and `@version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyName {
    text: String,
    /// `None` for a plain name.
    package: Option<Package>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    name: String,
    interface: Option<String>,
    version: Option<String>,
}

impl fmt::Display for DependencyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DependencyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let package = match text.contains([':', '/']) {
            true => Some(text.parse()?),
            false => {
                id::component(text).map_err(|error| error.to_string())?;
                None
            }
        };
        Ok(Self {
            text: text.to_owned(),
            package,
        })
    }
}

impl FromStr for Package {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not namespace:package/interface@version");
        let (path, version) = match text.split_once('@') {
            Some((path, version)) if is_version(version) => (path, Some(version)),
            Some(_) => return Err(invalid()),
            None => (text, None),
        };
        let (name, interface) = match path.split_once('/') {
            Some((name, interface)) => (name, Some(interface)),
            None => (path, None),
        };
        let (namespace, package) = name.split_once(':').ok_or_else(invalid)?;
        for part in [namespace, package].into_iter().chain(interface) {
            id::component(part).map_err(|_| invalid())?;
        }
        Ok(Self {
            name: name.to_owned(),
            interface: interface.map(str::to_owned),
            version: version.map(str::to_owned),
        })
    }
}

/// Returns whether `text` is three numbers, with or without what may follow them.
fn is_version(text: &str) -> bool {
    let release = text.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    release.split('.').count() == 3 && release.split('.').all(is_number)
}

/// Returns the part of a version that is equal in all versions that can replace each other, by the rule of Spin and of
/// Wasmtime's linker.
pub fn compatible(version: &str) -> &str {
    let version = version.split('+').next().unwrap_or_default();
    if version.contains('-') {
        return version;
    }
    let mut end = 0;
    for part in version.split('.') {
        end += part.len();
        if part.bytes().any(|digit| digit != b'0') {
            break;
        }
        end += 1;
    }
    version.get(..end).unwrap_or(version)
}

impl DependencyName {
    /// Returns whether the dependency satisfies the import called `import`.
    pub fn matches(&self, import: &str) -> bool {
        let Some(package) = &self.package else {
            return self.text == import;
        };
        let (path, version) = match import.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (import, None),
        };
        let Some((name, interface)) = path.split_once('/') else {
            return false;
        };
        name == package.name
            && package.interface.as_deref().is_none_or(|i| i == interface)
            && (package.version.is_none() || package.version.as_deref() == version)
    }

    /// Returns whether both could satisfy one import.
    fn overlaps(&self, other: &Self) -> bool {
        let (Some(one), Some(other)) = (&self.package, &other.package) else {
            return false;
        };
        let differ = |one: Option<&str>, other: Option<&str>| {
            one.zip(other).is_some_and(|(one, other)| one != other)
        };
        let versions = (
            one.version.as_deref().map(compatible),
            other.version.as_deref().map(compatible),
        );
        one.name == other.name
            && !differ(versions.0, versions.1)
            && !differ(one.interface.as_deref(), other.interface.as_deref())
    }
}

/// Resolves the dependencies of components.
pub(crate) struct Resolver<'a, 't> {
    pub directory: &'a Path,
    pub profile: Option<&'a str>,
    pub declared: &'a BTreeMap<String, Component>,
    pub problems: &'a mut Problems<'t>,
}

impl Resolver<'_, '_> {
    /// Resolves the dependencies of a component.
    pub(crate) fn dependencies(
        &mut self,
        declared: BTreeMap<Spanned<String>, Spanned<document::Dependency>>,
        inherit_all: Option<&Spanned<bool>>,
        place: &str,
    ) -> Vec<Dependency> {
        let mut dependencies: Vec<Dependency> = Vec::new();
        for (name, dependency) in declared {
            let (name_span, span) = (name.span(), dependency.span());
            let place = format!("{place}, dependencies {:?}", name.get_ref());
            let parsed = name.get_ref().parse::<DependencyName>();
            let (Some(name), Some(mut table)) = (
                self.problems.note(&name_span, &place, parsed),
                self.table(dependency.into_inner(), &span, &place),
            ) else {
                continue;
            };
            if let Some(all) = inherit_all {
                if table.inherit_configuration.is_some() {
                    let message = "inherit_configuration and dependencies_inherit_configuration exclude each other";
                    self.problems.add(&span, &place, message);
                    continue;
                }
                table.inherit_configuration = Some(InheritConfiguration::All(*all.get_ref()));
            }
            let names_package = name.package.as_ref().is_some_and(|p| p.interface.is_none());
            if names_package && table.export.is_some() {
                let message =
                    "an export satisfies one interface; name it, as in namespace:package/interface";
                self.problems.add(&span, &place, message);
                continue;
            }
            if let Some(other) = dependencies.iter().find(|other| other.name.overlaps(&name)) {
                let message = format!("satisfies the same imports as {:?}", other.name.text);
                self.problems.add(&name_span, &place, message);
                continue;
            }
            let export = table.export.take();
            if let Some((source, inherited)) = self.source(table, &span, &place) {
                dependencies.push(Dependency {
                    name,
                    source,
                    export,
                    inherited,
                });
            }
        }
        dependencies
    }

    /// Resolves the middleware of a trigger, outermost first.
    pub(crate) fn middleware(
        &mut self,
        declared: BTreeMap<Spanned<String>, Vec<Spanned<document::Dependency>>>,
        place: &str,
    ) -> Vec<Middleware> {
        let mut middleware = Vec::new();
        for (role, dependencies) in declared {
            let place = format!("{place}, dependencies.{}", role.get_ref());
            if role.get_ref() != "middleware" {
                let message = "an HTTP trigger has no dependencies but `middleware`";
                self.problems.add(&role.span(), &place, message);
                continue;
            }
            for dependency in dependencies {
                let span = dependency.span();
                let table = self.table(dependency.into_inner(), &span, &place);
                let Some(table) = table else { continue };
                if table.export.is_some() {
                    self.problems
                        .add(&span, &place, "middleware has no `export`");
                    continue;
                }
                let resolved = self.source(table, &span, &place);
                middleware
                    .extend(resolved.map(|(source, inherited)| Middleware { source, inherited }));
            }
        }
        middleware
    }

    fn table(
        &mut self,
        declared: document::Dependency,
        span: &Range<usize>,
        place: &str,
    ) -> Option<DependencyTable> {
        match declared {
            document::Dependency::Table(table) => Some(table),
            document::Dependency::Version(version) => {
                self.problems.add(span, place, registry(&version));
                None
            }
        }
    }

    fn source(
        &mut self,
        table: DependencyTable,
        span: &Range<usize>,
        place: &str,
    ) -> Option<(Source, Inherited)> {
        let inherited = match table.inherit_configuration {
            Some(InheritConfiguration::All(true)) => Inherited::All,
            Some(InheritConfiguration::All(false)) | None => Inherited::Keys(Vec::new()),
            Some(InheritConfiguration::Some(keys)) => Inherited::Keys(keys),
        };
        if let Inherited::Keys(keys) = &inherited
            && let Some(unknown) = keys.iter().find(|key| !INHERITABLE.contains(&key.as_str()))
        {
            let message = format!(
                "{unknown:?} cannot be inherited; these can: {}",
                INHERITABLE.join(", ")
            );
            self.problems.add(span, place, message);
            return None;
        }
        let packages = [&table.package, &table.version, &table.registry];
        let source = if let Some(wanted) = packages.into_iter().flatten().next() {
            Err(registry(wanted))
        } else {
            match (table.path, table.url, table.digest, table.component) {
                (Some(path), None, None, None) => Ok(document::Source::File(path)),
                (None, Some(url), Some(digest), None) => Ok(document::Source::Url { url, digest }),
                (None, None, None, Some(id)) => self.component(&id),
                _ => Err("needs one of `path`, `url` with `digest`, or `component`".to_owned()),
            }
        };
        let source = source.and_then(|source| resolve::source(source, self.directory));
        let source = self.problems.note(span, place, source)?;
        Some((source, inherited))
    }

    /// Returns the source of the component `id`, if that has no configuration: it would not apply.
    fn component(&self, id: &str) -> Result<document::Source, String> {
        let component = self.declared.get(id).cloned();
        let component = component.ok_or(format!("names component {id:?}, which does not exist"))?;
        let component = component.with_profile(self.profile);
        let own = [
            ("ai_models", component.ai_models.is_empty()),
            (
                "allowed_http_hosts",
                component.allowed_http_hosts.is_empty(),
            ),
            (
                "allowed_outbound_hosts",
                component.allowed_outbound_hosts.is_empty(),
            ),
            ("dependencies", component.dependencies.is_empty()),
            ("environment", component.environment.is_empty()),
            ("files", component.files.is_empty()),
            ("key_value_stores", component.key_value_stores.is_empty()),
            ("sqlite_databases", component.sqlite_databases.is_empty()),
            ("variables", component.variables.is_empty()),
        ];
        let own: Vec<_> = own
            .into_iter()
            .filter(|(_, is_empty)| !is_empty)
            .map(|(key, _)| key)
            .collect();
        if own.is_empty() {
            return Ok(component.source.into_inner());
        }
        Err(format!(
            "component {id:?} has {} of its own, which would not apply here; let it inherit them with \
             inherit_configuration",
            own.join(", ")
        ))
    }
}

fn registry(wanted: &str) -> String {
    format!(
        "the package {wanted:?} of a registry is not supported; download it, such as with `wkg get`, and name the file: {{ path = … }}"
    )
}

/// A trigger's component, and the middleware before it.
pub(crate) struct Enriched {
    /// Id of the trigger.
    pub trigger: String,
    /// Id of the component.
    pub component: String,
    pub middleware: Vec<Middleware>,
}

impl Enriched {
    /// Gives the middleware to the trigger's component, or to a copy of the component if other triggers have it, too.
    /// Returns the id of the copy.
    pub(crate) fn apply(
        self,
        components: &mut BTreeMap<String, ComponentManifest>,
        is_shared: bool,
    ) -> Option<String> {
        let component = components.get_mut(&self.component)?;
        if !is_shared {
            component.middleware = self.middleware;
            return None;
        }
        let mut copy = component.clone();
        copy.middleware = self.middleware;
        let id = format!("{}-for-{}", self.component, self.trigger);
        components.insert(id.clone(), copy);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DependencyName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_matches_the_imports_that_it_describes() {
        for (text, import, expected) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.0", true),
            ("foo:bar/baz", "foo:bar/baz@0.1.0", true),
            ("foo:bar/baz", "foo:bar/baz", true),
            ("foo:bar", "foo:bar/baz@0.1.0", true),
            ("foo:bar@0.1.0", "foo:bar/baz@0.1.0", true),
            ("foo-bar", "foo-bar", true),
            ("foo:bar/baz@0.1.0", "foo:bar/baz", false),
            ("foo:bar/baz", "foo:bar/other", false),
            ("foo:bar", "foo:other/baz", false),
            ("foo:bar@0.1.0", "foo:bar/baz", false),
            ("foo:bar", "foo-bar", false),
            ("foo-bar", "foo:bar/baz", false),
        ] {
            assert_eq!(name(text).matches(import), expected, "{text}, {import}");
        }
    }

    #[test]
    fn names_that_could_satisfy_one_import_overlap() {
        for (one, other, expected) in [
            ("a:b", "a:b/c", true),
            ("a:b/c", "a:b/d", false),
            ("a:b@1.0.0", "a:b@1.2.0", true),
            ("a:b@1.0.0", "a:b@2.0.0", false),
            ("a:b@0.1.0", "a:b@0.2.0", false),
            ("a:b@0.0.1", "a:b@0.0.2", false),
            ("a:b@0.1.0-rc1", "a:b@0.1.0", false),
            ("a:b/c@1.0.0", "a:b", true),
            ("a:b", "a:c", false),
            ("a", "a:b", false),
        ] {
            assert_eq!(name(one).overlaps(&name(other)), expected, "{one}, {other}");
        }
    }

    #[test]
    fn names_that_are_malformed_are_refused() {
        for text in [
            "",
            "A_b",
            "a:",
            ":b",
            "a:b@1",
            "a:b@x.y.z",
            "a/b",
            "a:b/c/d",
            "a:b/",
        ] {
            assert!(text.parse::<DependencyName>().is_err(), "{text}");
        }
    }
}
