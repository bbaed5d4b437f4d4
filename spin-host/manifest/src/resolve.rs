//! From the document to the application: names are looked up, variables expanded, and every problem noted.

use crate::{
    AllowedHosts, ComponentManifest, Files, Handler, Manifest, ManifestError, Settings, Source,
    StaticResponse, Trigger, TriggerRoute, WELL_KNOWN,
    dependency::{Enriched, Resolver},
    document::{self, Component, ComponentSpec, Document, HttpTrigger, Route},
    id,
    problem::Problems,
    support, template,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub(crate) fn manifest(
    text: &str,
    directory: &Path,
    settings: &Settings,
) -> Result<Manifest, ManifestError> {
    let malformed = |error| ManifestError::malformed(text, &error);
    let table = DeTable::parse(text).map_err(malformed)?;
    check_version(table.get_ref())?;
    let mut problems = Problems::new(text);
    support::check(table.get_ref(), &mut problems);
    let document: Document = match toml::from_str(text) {
        Ok(document) => document,
        // The key that is not supported may be the one in the wrong form.
        Err(_) if !problems.found.is_empty() => {
            return Err(ManifestError::Problems(problems.sorted()));
        }
        Err(error) => return Err(malformed(error)),
    };
    if document.trigger.http.is_empty() && problems.found.is_empty() {
        return Err(ManifestError::NoTrigger);
    }
    let mut warnings = Problems::new(text);
    let variables = variables(&document.variables, settings, &mut problems);
    let mut declared = BTreeMap::new();
    for (id, component) in document.component {
        problems.note(&id.span(), "component", id::component(id.get_ref()));
        declared.insert(id.into_inner(), component);
    }
    let mut application = Application {
        directory,
        settings,
        variables: &variables,
        components: BTreeMap::new(),
        declared,
        problems,
    };
    let triggers = application.triggers(document.trigger.http, &mut warnings);
    let Application {
        components,
        problems,
        ..
    } = application;
    if !problems.found.is_empty() {
        return Err(ManifestError::Problems(problems.sorted()));
    }
    Ok(Manifest {
        name: document.application.name,
        version: document.application.version,
        triggers,
        components,
        variables,
        runtime: settings.runtime.clone(),
        warnings: warnings.sorted(),
    })
}

fn check_version(document: &DeTable<'_>) -> Result<(), ManifestError> {
    match document.get("spin_manifest_version").map(Spanned::get_ref) {
        Some(DeValue::Integer(version)) if version.as_str() == "2" => Ok(()),
        Some(DeValue::Integer(version)) if version.as_str() == "1" => {
            Err(ManifestError::VersionOne)
        }
        Some(DeValue::String(version)) if version == "1" => Err(ManifestError::VersionOne),
        Some(DeValue::Integer(version)) => Err(ManifestError::Version(version.as_str().to_owned())),
        Some(DeValue::String(version)) => Err(ManifestError::Version(format!("{version:?}"))),
        Some(_) => Err(ManifestError::Version("of this type".to_owned())),
        // The key of the first manifests.
        None if document.contains_key("spin_version") => Err(ManifestError::VersionOne),
        None => Err(ManifestError::Malformed {
            line: 1,
            message: "no spin_manifest_version = 2: this is no Spin manifest".to_owned(),
        }),
    }
}

fn variables(
    declared: &BTreeMap<Spanned<String>, document::Variable>,
    settings: &Settings,
    problems: &mut Problems<'_>,
) -> HashMap<String, String> {
    let mut values = HashMap::new();
    for (name, variable) in declared {
        let (span, name) = (name.span(), name.get_ref());
        let place = format!("variables.{name}");
        problems.note(&span, "variables", id::variable(name));
        let set = settings.variables.iter().find(|(set, _)| set == name);
        match (set, &variable.default, variable.required) {
            (_, None, false) => {
                problems.add(&span, place, "needs either a default or `required = true`");
            }
            (_, Some(_), true) => {
                problems.add(&span, place, "cannot have a default and be required");
            }
            (Some((_, value)), ..) | (None, Some(value), _) => {
                values.insert(name.clone(), value.clone());
            }
            (None, None, true) => {
                let variable = name.to_uppercase();
                let message = format!(
                    "is required: set SPIN_VARIABLE_{variable}, or --variable {name}=VALUE"
                );
                problems.add(&span, place, message);
            }
        }
        // A missing value is one problem, and not one more wherever it is used.
        values.entry(name.clone()).or_default();
    }
    values
}

/// An application that is being resolved.
struct Application<'a> {
    directory: &'a Path,
    settings: &'a Settings,
    variables: &'a HashMap<String, String>,
    declared: BTreeMap<String, Component>,
    components: BTreeMap<String, ComponentManifest>,
    problems: Problems<'a>,
}

impl<'a> Application<'a> {
    fn triggers(
        &mut self,
        declared: Vec<Spanned<HttpTrigger>>,
        warnings: &mut Problems<'_>,
    ) -> Vec<Trigger> {
        let mut triggers: Vec<(Trigger, Option<Enriched>)> = Vec::new();
        let mut private: Vec<Enriched> = Vec::new();
        // Numbers of the triggers of each component.
        let mut uses: HashMap<String, usize> = HashMap::new();
        let named = declared
            .iter()
            .filter_map(|trigger| trigger.get_ref().id.clone());
        let mut ids: HashSet<String> = named.collect();
        for trigger in declared {
            let span = trigger.span();
            let trigger = trigger.into_inner();
            let id = trigger_id(&trigger, &mut ids);
            let route_span = trigger.route.span();
            let route = match trigger.route.into_inner() {
                Route::Public(text) => Some(text),
                Route::Private { private: true } => None,
                Route::Private { private: false } => {
                    let message = "private = false is no route; write the route as text";
                    self.problems
                        .add(&route_span, "trigger.http, route", message);
                    None
                }
            };
            let place = match &route {
                Some(route) => format!("trigger.http {route:?}"),
                None => "trigger.http with a private route".to_owned(),
            };
            if let Some(executor) = trigger.executor
                && !matches!(executor.get_ref().kind.as_str(), "http" | "spin")
            {
                let message = format!(
                    "{:?} is not supported; run the application with `metrics-host proxy -- spin up`",
                    executor.get_ref().kind
                );
                self.problems
                    .add(&executor.span(), format!("{place}, executor"), message);
                continue;
            }
            let handler = match (trigger.component, trigger.static_response) {
                (Some(component), None) => self.component(component, &id, &place),
                (None, Some(response)) => {
                    let span = response.span();
                    let response = StaticResponse::try_from(response.into_inner());
                    let place = format!("{place}, static_response");
                    self.problems
                        .note(&span, place, response)
                        .map(Handler::Static)
                }
                (component, _) => {
                    let both = if component.is_some() {
                        "both"
                    } else {
                        "neither"
                    };
                    let message = format!("needs a component or a static_response; it has {both}");
                    self.problems.add(&span, place, message);
                    continue;
                }
            };
            let middleware = self.resolver().middleware(trigger.dependencies, &place);
            let enriched = match &handler {
                Some(Handler::Component(component)) => {
                    *uses.entry(component.clone()).or_default() += 1;
                    (!middleware.is_empty()).then(|| Enriched {
                        trigger: id,
                        component: component.clone(),
                        middleware,
                    })
                }
                _ => None,
            };
            let (Some(text), Some(handler)) = (route, handler) else {
                private.extend(enriched);
                continue;
            };
            let parsed = text.parse::<TriggerRoute>();
            let Some(route) = self.problems.note(&route_span, &place, parsed) else {
                continue;
            };
            if text.starts_with(WELL_KNOWN) {
                warnings.add(
                    &route_span,
                    &place,
                    "never reached: the host serves /.well-known/spin/",
                );
            }
            // The last of several with one route counts, at the place of the first.
            match triggers
                .iter_mut()
                .find(|(other, _)| other.route.as_str() == text)
            {
                Some(first) => {
                    let message = "another trigger has the same route; the last one is used";
                    warnings.add(&route_span, &place, message);
                    *first = (Trigger { route, handler }, enriched);
                }
                None => triggers.push((Trigger { route, handler }, enriched)),
            }
        }
        let mut enrich = |enriched: Enriched| {
            let is_shared = uses.get(&enriched.component).is_some_and(|&uses| uses > 1);
            enriched.apply(&mut self.components, is_shared)
        };
        private
            .into_iter()
            .for_each(|enriched| _ = enrich(enriched));
        let triggers = triggers.into_iter().map(|(mut trigger, enriched)| {
            if let Some(copy) = enriched.and_then(&mut enrich) {
                trigger.handler = Handler::Component(copy);
            }
            trigger
        });
        triggers.collect()
    }

    fn resolver(&mut self) -> Resolver<'_, 'a> {
        Resolver {
            directory: self.directory,
            profile: self.settings.profile.as_deref(),
            declared: &self.declared,
            problems: &mut self.problems,
        }
    }

    /// Resolves the component of a trigger, unless another trigger has it, too.
    fn component(
        &mut self,
        spec: Spanned<ComponentSpec>,
        trigger: &str,
        place: &str,
    ) -> Option<Handler> {
        let span = spec.span();
        let (id, component) = match spec.into_inner() {
            ComponentSpec::Id(id) => {
                if self.components.contains_key(&id) {
                    return Some(Handler::Component(id));
                }
                let Some(component) = self.declared.get(&id) else {
                    let message = format!("names component {id:?}, which does not exist");
                    self.problems.add(&span, place, message);
                    return None;
                };
                (id, component.clone())
            }
            ComponentSpec::Inline(component) => (self.inline_id(trigger), *component),
        };
        let component = component.with_profile(self.settings.profile.as_deref());
        let resolved = self.resolve(&id, component)?;
        self.components.insert(id.clone(), resolved);
        Some(Handler::Component(id))
    }

    /// Returns the id that Spin gives to a component written out in a trigger.
    fn inline_id(&self, trigger: &str) -> String {
        let is_free =
            |id: &String| !self.declared.contains_key(id) && !self.components.contains_key(id);
        let natural = Some(format!("{trigger}-component"));
        let natural = natural.filter(|natural| id::component(natural).is_ok() && is_free(natural));
        natural.unwrap_or_else(|| {
            let mut counted = (1..).map(|number| format!("inline-component{number}"));
            counted
                .find(is_free)
                .expect("there is always a further number")
        })
    }

    fn resolve(&mut self, id: &str, declared: Component) -> Option<ComponentManifest> {
        let dependencies = self.resolver().dependencies(
            declared.dependencies,
            declared.dependencies_inherit_configuration.as_ref(),
            &format!("component {id:?}"),
        );
        let place = |key: &str| format!("component {id:?}, {key}");
        let problems = &mut self.problems;
        let mut hosts = Vec::new();
        for declared_host in &declared.allowed_outbound_hosts {
            let (span, place) = (declared_host.span(), place("allowed_outbound_hosts"));
            let declared_host = declared_host.get_ref();
            let expanded = expand(declared_host, self.variables);
            let Some(host) = problems.note(&span, &place, expanded) else {
                continue;
            };
            // An empty variable means that there is no such host.
            let is_template = host != *declared_host;
            if is_template && matches!(host.as_str(), "" | "http://" | "https://") {
                continue;
            }
            let allowed = AllowedHosts::parse(std::slice::from_ref(&host));
            if problems.note(&span, &place, allowed).is_some() {
                hosts.push(host);
            }
        }
        let mut variables = HashMap::new();
        for (name, value) in &declared.variables {
            problems.note(
                &name.span(),
                place("variables"),
                id::variable(name.get_ref()),
            );
            let expanded = expand(value.get_ref(), self.variables);
            if let Some(value) = problems.note(&value.span(), place("variables"), expanded) {
                variables.insert(name.get_ref().clone(), value);
            }
        }
        let mut labels = |key: &str, labels: Vec<Spanned<String>>| -> Vec<String> {
            for label in &labels {
                problems.note(&label.span(), place(key), id::label(label.get_ref()));
            }
            labels.into_iter().map(Spanned::into_inner).collect()
        };
        let databases = labels("sqlite_databases", declared.sqlite_databases);
        let key_value_stores = labels("key_value_stores", declared.key_value_stores);
        let span = declared.source.span();
        let source = source(declared.source.into_inner(), self.directory);
        let mut environment = declared.environment;
        environment.extend(self.settings.environment.iter().cloned());
        Some(ComponentManifest {
            name: id.to_owned(),
            dependencies,
            middleware: Vec::new(),
            source: problems.note(&span, place("source"), source)?,
            build_command: declared.build.map(|build| build.command.line()),
            variables,
            allowed_hosts: AllowedHosts::parse(&hosts).ok()?,
            databases,
            key_value_stores,
            environment: environment.into_iter().collect(),
            files: Files {
                root: self.directory.to_owned(),
                mounts: declared.files,
                exclude: declared.exclude_files,
            },
        })
    }
}

/// Returns the id that Spin gives to a trigger. `ids` are those of the others.
fn trigger_id(trigger: &HttpTrigger, ids: &mut HashSet<String>) -> String {
    if let Some(id) = &trigger.id {
        return id.clone();
    }
    let natural = match trigger.component.as_ref().map(Spanned::get_ref) {
        Some(ComponentSpec::Id(component)) => Some(format!("{component}-http-trigger")),
        _ => None,
    };
    let counted = (1..).map(|number| format!("http-trigger{number}"));
    let mut candidates = natural.into_iter().chain(counted);
    let id = candidates.find(|id| ids.insert(id.clone()));
    id.expect("there is always a further number")
}

fn expand(text: &str, variables: &HashMap<String, String>) -> Result<String, String> {
    template::expand(text, variables).map_err(|error| format!("{text:?}: {error}"))
}

/// Resolves the place of a Wasm file.
pub(crate) fn source(declared: document::Source, directory: &Path) -> Result<Source, String> {
    match declared {
        document::Source::File(path) => Ok(Source::File(directory.join(path))),
        document::Source::Url { url, digest } => {
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(format!("{url:?} is no URL of http or https"));
            }
            let sha256 = digest.strip_prefix("sha256:").filter(|hex| {
                let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                hex.len() == 64 && hex.bytes().all(is_digit)
            });
            let expected = || {
                format!(
                    "the digest {digest:?} is not sha256: and 64 digits; `curl -fL {url} | sha256sum` tells them"
                )
            };
            let sha256 = sha256.ok_or_else(expected)?.to_owned();
            Ok(Source::Url { url, sha256 })
        }
        document::Source::Package { package } => Err(format!(
            "the package {package:?} of a registry is not supported; download it, such as with `wkg get`, and name the file"
        )),
    }
}
