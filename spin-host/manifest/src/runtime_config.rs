//! The file of `--runtime-config-file`: where stores and databases are kept, values of variables, and limits.

use crate::{
    ManifestError, Problem,
    problem::Problems,
    support::{Key, Support, key},
};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Contents of a runtime config file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// The file itself; empty if there is no file.
    pub file: PathBuf,
    /// Places of key-value stores, by label.
    pub key_value_stores: BTreeMap<String, Location>,
    /// Places of SQLite databases, by label.
    pub databases: BTreeMap<String, Location>,
    /// Values of variables, the first one first.
    pub variables: Vec<(String, String)>,
    /// Linear memory per instance, in bytes.
    pub instance_memory: Option<usize>,
    /// Limits on outgoing connections.
    pub outbound: OutboundLimits,
    /// Remarks that the author may not expect.
    pub warnings: Vec<Problem>,
}

/// Place of a store or database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// Nowhere: it is empty at each start.
    Memory,
}

/// Limits on the outgoing connections of an application; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboundLimits {
    /// Connections of all kinds.
    pub total: Option<usize>,
    /// Sockets that components open themselves.
    pub sockets: Option<usize>,
    /// HTTP connections.
    pub http: Option<usize>,
    /// MQTT connections.
    pub mqtt: Option<usize>,
    /// Size of an MQTT message, in bytes.
    pub mqtt_payload: Option<usize>,
    /// MySQL connections.
    pub mysql: Option<usize>,
    /// PostgreSQL connections.
    pub pg: Option<usize>,
    /// Redis connections.
    pub redis: Option<usize>,
}

use Support::{No, NoEffect, Yes};

const UNDER_SPIN: &str = "run the application with `metrics-host proxy -- spin up`";
const LIMIT: &str = "for each component; one that waits longer than 5 s fails";

/// All keys of a runtime config file.
pub const RUNTIME_KEYS: &[Key] = &[
    key(
        "document",
        "state_dir",
        NoEffect,
        "`--state-dir` names the directory",
    ),
    key(
        "document",
        "log_dir",
        NoEffect,
        "components write to the log of metrics-host",
    ),
    key(
        "document",
        "max_instance_memory",
        Yes,
        "wins over `--instance-memory`",
    ),
    key(
        "document",
        "key_value_store",
        Yes,
        "`type = \"spin\"`; other types are refused",
    ),
    key(
        "document",
        "sqlite_database",
        Yes,
        "`type = \"spin\"`; other types are refused",
    ),
    key(
        "document",
        "variables_provider",
        Yes,
        "`type = \"static\"`, and `\"env\"` without options; other types are refused",
    ),
    key("document", "config_provider", Yes, "the same"),
    key(
        "document",
        "llm_compute",
        No(UNDER_SPIN),
        "there are no models",
    ),
    key(
        "document",
        "client_tls",
        No(UNDER_SPIN),
        "certificates of components",
    ),
    key(
        "document",
        "outbound_networking",
        NoEffect,
        "`block_networks` is refused; the limits are not enforced",
    ),
    key("document", "outbound_http", Yes, LIMIT),
    key("document", "outbound_mqtt", Yes, LIMIT),
    key("document", "outbound_mysql", NoEffect, "calls fail"),
    key("document", "outbound_pg", Yes, LIMIT),
    key("document", "outbound_redis", Yes, LIMIT),
];

impl RuntimeConfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or asks for what does not exist here.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(ManifestError::Unreadable)?;
        Self::parse(&text, path)
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// Fails if it asks for what does not exist here.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let table = DeTable::parse(text).map_err(|error| ManifestError::malformed(text, &error))?;
        let mut reader = Reader {
            directory: path.parent().unwrap_or(Path::new("")),
            problems: Problems::new(text),
            warnings: Problems::new(text),
        };
        let mut config = Self {
            file: path.to_owned(),
            ..Self::default()
        };
        for (name, value) in table.get_ref() {
            reader.key(name.get_ref(), &name.span(), value, &mut config);
        }
        if !reader.problems.found.is_empty() {
            return Err(ManifestError::Problems(reader.problems.sorted()));
        }
        config.warnings = reader.warnings.sorted();
        Ok(config)
    }
}

type Value<'t> = Spanned<DeValue<'t>>;

struct Reader<'a> {
    directory: &'a Path,
    problems: Problems<'a>,
    warnings: Problems<'a>,
}

impl Reader<'_> {
    fn key(
        &mut self,
        name: &str,
        span: &Range<usize>,
        value: &Value<'_>,
        config: &mut RuntimeConfig,
    ) {
        let Some(known) = RUNTIME_KEYS.iter().find(|key| key.name == name) else {
            self.problems
                .add(span, name, "no such key; Spin refuses it, too");
            return;
        };
        if let No(instead) = known.support {
            let message = format!("not supported: {}; {instead}", known.note);
            self.problems.add(span, name, message);
            return;
        }
        let outbound = &mut config.outbound;
        match name {
            "state_dir" | "log_dir" => {
                self.warnings
                    .add(span, name, format!("no effect: {}", known.note))
            }
            "max_instance_memory" => config.instance_memory = self.number(value, name),
            "key_value_store" => {
                // As under Spin, such a file is beside this one, and one of a database in the current folder.
                let base = self.directory;
                config.key_value_stores =
                    self.stores(name, value, base, &["redis", "azure_cosmos", "aws_dynamo"]);
            }
            "sqlite_database" => {
                config.databases = self.stores(name, value, Path::new(""), &["libsql"])
            }
            "variables_provider" | "config_provider" => {
                config.variables = self.providers(name, value)
            }
            "outbound_networking" => {
                self.limits(
                    name,
                    value,
                    &mut [
                        ("max_total_connections", &mut outbound.total),
                        ("max_socket_connections", &mut outbound.sockets),
                    ],
                );
            }
            "outbound_http" => {
                self.limits(name, value, &mut [("max_connections", &mut outbound.http)])
            }
            "outbound_mqtt" => {
                self.limits(
                    name,
                    value,
                    &mut [
                        ("max_connections", &mut outbound.mqtt),
                        ("max_payload_size_bytes", &mut outbound.mqtt_payload),
                    ],
                );
            }
            "outbound_mysql" => {
                self.limits(name, value, &mut [("max_connections", &mut outbound.mysql)])
            }
            "outbound_pg" => self.limits(name, value, &mut [("max_connections", &mut outbound.pg)]),
            _ => self.limits(name, value, &mut [("max_connections", &mut outbound.redis)]),
        }
    }

    /// Reads stores or databases by their labels.
    fn stores(
        &mut self,
        kind: &str,
        value: &Value<'_>,
        base: &Path,
        elsewhere: &[&str],
    ) -> BTreeMap<String, Location> {
        let mut stores = BTreeMap::new();
        for (label, store) in self.table(value, kind).into_iter().flatten() {
            let place = format!("{kind}.{}", label.get_ref());
            let Some(table) = self.table(store, &place) else {
                continue;
            };
            match table.get("type").and_then(|kind| kind.get_ref().as_str()) {
                Some("spin") => {}
                Some(other) => {
                    let message = match elsewhere.contains(&other) {
                        true => format!(
                            "type {other:?} is not supported; use \"spin\", or {UNDER_SPIN}"
                        ),
                        false => format!("there is no type {other:?}"),
                    };
                    self.problems.add(&store.span(), place, message);
                    continue;
                }
                None => {
                    self.problems
                        .add(&store.span(), place, "needs a `type`, such as \"spin\"");
                    continue;
                }
            }
            let mut location = Location::Memory;
            for (name, value) in table {
                let place = format!("{place}, {}", name.get_ref());
                match name.get_ref().as_ref() {
                    "type" => {}
                    "path" => {
                        if let Some(path) = self.text(value, &place) {
                            location = Location::File(base.join(path));
                        }
                    }
                    "allow_attach_file" if kind == "sqlite_database" => {
                        if value.get_ref().as_bool() == Some(true) {
                            let message = "not supported: files are never attached; name the file as a database of its own";
                            self.problems.add(&name.span(), place, message);
                        }
                    }
                    _ => {
                        self.problems
                            .add(&name.span(), place, "no such key; Spin refuses it, too")
                    }
                }
            }
            stores.insert(label.get_ref().to_string(), location);
        }
        stores
    }

    /// Reads the values of variables; those of the environment come without a provider, too.
    fn providers(&mut self, kind: &str, value: &Value<'_>) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let Some(providers) = value.get_ref().as_array() else {
            let message = format!("expected a list: [[{kind}]]");
            self.problems.add(&value.span(), kind, message);
            return variables;
        };
        for provider in providers {
            let Some(table) = self.table(provider, kind) else {
                continue;
            };
            match table.get("type").and_then(|kind| kind.get_ref().as_str()) {
                Some("env") if table.len() == 1 => {}
                Some("static") => {
                    let values = table
                        .get("values")
                        .and_then(|values| self.table(values, kind));
                    for (name, value) in values.into_iter().flatten() {
                        let place = format!("{kind}, values.{}", name.get_ref());
                        if let Some(text) = self.text(value, &place) {
                            variables.push((name.get_ref().to_string(), text.to_owned()));
                        }
                    }
                }
                Some(other) => {
                    let options = if other == "env" { " with options" } else { "" };
                    let message = format!(
                        "type {other:?}{options} is not supported; set the values with --variable, SPIN_VARIABLE_<NAME> \
                         or type \"static\", or {UNDER_SPIN}"
                    );
                    self.problems.add(&provider.span(), kind, message);
                }
                None => {
                    self.problems
                        .add(&provider.span(), kind, "needs a `type`, such as \"static\"")
                }
            }
        }
        variables
    }

    /// Reads the numbers of a table of limits. Nothing enforces those of all connections, of sockets and of MySQL.
    fn limits(&mut self, kind: &str, value: &Value<'_>, limits: &mut [(&str, &mut Option<usize>)]) {
        for (name, value) in self.table(value, kind).into_iter().flatten() {
            let place = format!("{kind}, {}", name.get_ref());
            match (kind, name.get_ref().as_ref()) {
                ("outbound_networking", "block_networks") => {
                    let message = format!(
                        "not supported: leave the addresses out of allowed_outbound_hosts, or {UNDER_SPIN}"
                    );
                    self.problems.add(&name.span(), place, message);
                    continue;
                }
                // A connection serves one request.
                ("outbound_http", "connection_pooling") => continue,
                // The older name allows one more.
                ("outbound_http", "max_concurrent_requests") => {
                    *limits[0].1 = self
                        .number(value, &place)
                        .map(|number| number.saturating_add(1));
                }
                (_, name) => match limits.iter_mut().find(|(limit, _)| *limit == name) {
                    Some((_, limit)) => **limit = self.number(value, &place),
                    None => {
                        self.problems.add(
                            &value.span(),
                            place,
                            "no such key; Spin refuses it, too",
                        );
                        continue;
                    }
                },
            }
            if matches!(kind, "outbound_networking" | "outbound_mysql") {
                self.warnings
                    .add(&name.span(), place, "this limit is not enforced");
            }
        }
    }

    fn table<'v, 't>(&mut self, value: &'v Value<'t>, place: &str) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.problems.add(&value.span(), place, "expected a table");
        }
        table
    }

    fn text<'v>(&mut self, value: &'v Value<'_>, place: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.problems.add(&value.span(), place, "expected a text");
        }
        text
    }

    fn number(&mut self, value: &Value<'_>, place: &str) -> Option<usize> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => usize::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            self.problems.add(
                &value.span(),
                place,
                "expected a number that is not negative",
            );
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RuntimeConfig, ManifestError> {
        RuntimeConfig::parse(text, Path::new("config/runtime.toml"))
    }

    #[test]
    fn stores_variables_and_limits_are_read() {
        let config = parse(
            r#"
            state_dir = "elsewhere"
            max_instance_memory = 1_000_000
            [key_value_store.default]
            type = "spin"
            path = "kv.db"
            [key_value_store.scratch]
            type = "spin"
            [sqlite_database.default]
            type = "spin"
            path = "data/app.db"
            allow_attach_file = false
            [[variables_provider]]
            type = "static"
            values = { token = "secret" }
            [[variables_provider]]
            type = "env"
            [outbound_http]
            connection_pooling = true
            max_concurrent_requests = 9
            [outbound_networking]
            max_total_connections = 0x10
            "#,
        )
        .unwrap();
        let stores = [
            ("default".to_owned(), Location::File("config/kv.db".into())),
            ("scratch".to_owned(), Location::Memory),
        ];
        assert_eq!(config.key_value_stores, BTreeMap::from(stores));
        let databases = [("default".to_owned(), Location::File("data/app.db".into()))];
        assert_eq!(config.databases, BTreeMap::from(databases));
        assert_eq!(
            config.variables,
            [("token".to_owned(), "secret".to_owned())]
        );
        assert_eq!(config.instance_memory, Some(1_000_000));
        assert_eq!(
            (config.outbound.http, config.outbound.total),
            (Some(10), Some(16))
        );
        let lines: Vec<_> = config.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, [2, 22]);
    }

    #[test]
    fn what_does_not_exist_here_is_named_with_its_line_and_the_way_out() {
        let spin = "`metrics-host proxy -- spin up`";
        for (text, place, expected) in [
            ("colour = 1", "colour", "no such key"),
            ("[llm_compute]\ntype = \"remote_http\"", "llm_compute", spin),
            ("[[client_tls]]\nhosts = []", "client_tls", spin),
            (
                "[key_value_store.a]\ntype = \"redis\"\nurl = \"redis://a\"",
                "key_value_store.a",
                spin,
            ),
            (
                "[key_value_store.a]\ntype = \"tape\"",
                "key_value_store.a",
                "there is no type \"tape\"",
            ),
            (
                "[key_value_store.a]\npath = \"a\"",
                "key_value_store.a",
                "needs a `type`",
            ),
            (
                "[sqlite_database.a]\ntype = \"libsql\"",
                "sqlite_database.a",
                spin,
            ),
            (
                "[sqlite_database.a]\ntype = \"spin\"\npath = 1",
                "sqlite_database.a, path",
                "expected a text",
            ),
            (
                "[sqlite_database.a]\ntype = \"spin\"\nallow_attach_file = true",
                "sqlite_database.a, allow_attach_file",
                "never attached",
            ),
            (
                "[sqlite_database]\na = 1",
                "sqlite_database.a",
                "expected a table",
            ),
            (
                "[[variables_provider]]\ntype = \"vault\"",
                "variables_provider",
                spin,
            ),
            (
                "[[config_provider]]\ntype = \"env\"\nprefix = \"X\"",
                "config_provider",
                "with options",
            ),
            (
                "[variables_provider]\ntype = \"env\"",
                "variables_provider",
                "expected a list",
            ),
            (
                "[outbound_networking]\nblock_networks = [\"private\"]",
                "outbound_networking, block_networks",
                spin,
            ),
            (
                "[outbound_pg]\nmax_connections = -1",
                "outbound_pg, max_connections",
                "not negative",
            ),
            (
                "[outbound_redis]\ncolour = 1",
                "outbound_redis, colour",
                "no such key",
            ),
        ] {
            let Err(ManifestError::Problems(problems)) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].place, place);
            assert!(problems[0].message.contains(expected), "{}", problems[0]);
        }
    }
}
