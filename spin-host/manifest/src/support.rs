//! Every key of a manifest, and what a host makes of it. The documentation's table is made from [`KEYS`].

use crate::problem::Problems;
use std::collections::BTreeSet;
use toml::de::{DeTable, DeValue};

/// A key of a manifest.
#[derive(Debug)]
pub struct Key {
    /// The table of the key, such as `component`.
    pub table: &'static str,
    /// Name of the key.
    pub name: &'static str,
    /// Whether a host obeys it.
    pub support: Support,
    /// A remark for the table.
    pub note: &'static str,
}

/// Whether a host obeys a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Support {
    /// It works as under Spin.
    Yes,
    /// It only concerns other tools.
    NoEffect,
    /// It is refused. Holds what to do instead.
    No(&'static str),
}

use Support::{No, NoEffect, Yes};

pub(crate) const fn key(
    table: &'static str,
    name: &'static str,
    support: Support,
    note: &'static str,
) -> Key {
    Key {
        table,
        name,
        support,
        note,
    }
}

const UNDER_SPIN: &str = "run the application with `metrics-host proxy -- spin up`, which supports everything that Spin does";
/// All keys, in the order of Spin's documentation.
pub const KEYS: &[Key] = &[
    key(
        "document",
        "spin_manifest_version",
        Yes,
        "2; `spin doctor` rewrites version 1",
    ),
    key("document", "application", Yes, ""),
    key("document", "variables", Yes, ""),
    key(
        "document",
        "trigger",
        Yes,
        "`http`; other kinds are refused",
    ),
    key(
        "document",
        "component",
        Yes,
        "a component that no trigger names is not loaded",
    ),
    key("application", "name", Yes, "the label `application`"),
    key("application", "version", Yes, "in `app_build_info`"),
    key("application", "description", NoEffect, ""),
    key("application", "authors", NoEffect, ""),
    key("application", "targets", NoEffect, ""),
    key(
        "application",
        "trigger",
        NoEffect,
        "settings of other kinds of triggers",
    ),
    key("application", "tool", NoEffect, ""),
    key("variables", "default", Yes, ""),
    key("variables", "required", Yes, ""),
    key(
        "variables",
        "secret",
        NoEffect,
        "values of variables are never logged",
    ),
    key("variables", "description", NoEffect, ""),
    key(
        "trigger.http",
        "route",
        Yes,
        "with `:name`, `/...`, `/*`; `{ private = true }` gives the component no route",
    ),
    key(
        "trigger.http",
        "component",
        Yes,
        "an id, or a component written out",
    ),
    key("trigger.http", "static_response", Yes, ""),
    key("trigger.http", "executor", Yes, "`http`; `wagi` is refused"),
    key("trigger.http", "id", Yes, ""),
    key(
        "trigger.http",
        "dependencies",
        Yes,
        "`middleware`, by `path`, `url` or `component`",
    ),
    key(
        "component",
        "source",
        Yes,
        "a file, or a URL, which is downloaded once; a package of a registry is refused",
    ),
    key("component", "description", NoEffect, ""),
    key("component", "variables", Yes, ""),
    key("component", "environment", Yes, ""),
    key("component", "files", Yes, "copied at the start; read-only"),
    key("component", "exclude_files", Yes, ""),
    key(
        "component",
        "allowed_http_hosts",
        No("write allowed_outbound_hosts instead, such as [\"https://example.com\"]"),
        "deprecated since Spin 1.4",
    ),
    key("component", "allowed_outbound_hosts", Yes, ""),
    key(
        "component",
        "key_value_stores",
        Yes,
        "any label, in one SQLite file",
    ),
    key(
        "component",
        "sqlite_databases",
        Yes,
        "any label, each in its own file",
    ),
    key(
        "component",
        "ai_models",
        NoEffect,
        "there are no models: calls fail",
    ),
    key("component", "targets", NoEffect, ""),
    key(
        "component",
        "build",
        NoEffect,
        "named if the file of the component is missing",
    ),
    key("component", "tool", NoEffect, ""),
    key("component", "dependencies_inherit_configuration", Yes, ""),
    key(
        "component",
        "dependencies",
        Yes,
        "by `path`, `url` or `component`; packages of a registry are refused",
    ),
    key("component", "profile", Yes, "chosen with `--profile`"),
    key("profile", "source", Yes, ""),
    key("profile", "environment", Yes, ""),
    key("profile", "dependencies", Yes, ""),
    key("profile", "build", NoEffect, ""),
];

/// Notes every key that Spin does not know or a host does not support. The settings of a component that no trigger uses
/// do not matter.
pub(crate) fn check(document: &DeTable<'_>, problems: &mut Problems<'_>) {
    check_table(document, "document", "manifest", true, problems);
    let mut used = BTreeSet::new();
    for (key, value) in tables(document.get("trigger")) {
        if key != "http" {
            let place = format!("trigger.{key}");
            let message = format!("only HTTP triggers are supported; {UNDER_SPIN}");
            problems.add(&value.span(), place, message);
            continue;
        }
        for trigger in value.get_ref().as_array().into_iter().flatten() {
            let Some(table) = trigger.get_ref().as_table() else {
                continue;
            };
            check_table(table, "trigger.http", "trigger.http", true, problems);
            match table.get("component").map(|value| value.get_ref()) {
                Some(DeValue::String(id)) => _ = used.insert(id.to_string()),
                Some(DeValue::Table(inline)) => {
                    check_component(inline, "trigger.http, component", true, problems);
                }
                _ => {}
            }
        }
    }
    if let Some(application) = document
        .get("application")
        .and_then(|v| v.get_ref().as_table())
    {
        check_table(application, "application", "application", true, problems);
    }
    for (name, value) in tables(document.get("variables")) {
        if let Some(variable) = value.get_ref().as_table() {
            check_table(
                variable,
                "variables",
                &format!("variables.{name}"),
                true,
                problems,
            );
        }
    }
    for (id, value) in tables(document.get("component")) {
        if let Some(component) = value.get_ref().as_table() {
            let place = format!("component {id:?}");
            check_component(component, &place, used.contains(id), problems);
        }
    }
}

fn check_component(
    component: &DeTable<'_>,
    place: &str,
    is_used: bool,
    problems: &mut Problems<'_>,
) {
    check_table(component, "component", place, is_used, problems);
    for (name, value) in tables(component.get("profile")) {
        if let Some(profile) = value.get_ref().as_table() {
            let place = format!("{place}, profile {name:?}");
            check_table(profile, "profile", &place, is_used, problems);
        }
    }
}

fn check_table(
    table: &DeTable<'_>,
    kind: &str,
    place: &str,
    is_used: bool,
    problems: &mut Problems<'_>,
) {
    for (name, value) in table {
        let known = KEYS
            .iter()
            .find(|key| key.table == kind && key.name == name.get_ref());
        let place = format!("{place}, {}", name.get_ref());
        match known.map(|key| &key.support) {
            Some(Yes | NoEffect) => {}
            Some(No(instead)) if is_used && !is_empty(value.get_ref()) => {
                problems.add(&name.span(), place, format!("not supported: {instead}"));
            }
            Some(No(_)) => {}
            None => problems.add(&name.span(), place, "no such key; Spin refuses it, too"),
        }
    }
}

/// Returns the entries of a table; no entries if `value` is not a table.
fn tables<'v, 't>(
    value: Option<&'v toml::Spanned<DeValue<'t>>>,
) -> impl Iterator<Item = (&'v str, &'v toml::Spanned<DeValue<'t>>)> {
    let table = value.and_then(|value| value.get_ref().as_table());
    table
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.get_ref().as_ref(), value))
}

/// An empty value asks for nothing.
fn is_empty(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Array(values) => values.is_empty(),
        DeValue::Table(values) => values.is_empty(),
        DeValue::String(text) => text.is_empty(),
        DeValue::Boolean(set) => !set,
        _ => false,
    }
}
