//! The files of a configuration folder.

use crate::{
    Addresses, Settings, Variant,
    matchers::confine,
    settings::Placeholders,
    template::{TemplateError, Values},
};

/// A rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path in the folder, such as `rules/app.yml`.
    pub path: &'static str,
    /// Rendered content.
    pub text: String,
}

impl File {
    /// Returns the last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../source/", $path)))),*]
    };
}

const SERVERS: &[(&str, &str)] = sources!["prometheus.yml", "alertmanager.yml"];
const RULES: &[(&str, &str)] = sources![
    "rules/app.yml",
    "rules/metrics-host.yml",
    "rules/recording.yml",
    "rules/slo.yml",
];

/// First line of a rules file.
pub(crate) const HEADER: &str =
    "# Written by `metrics-host rules`: change its flags instead of this file.\n";

/// Alerts about Prometheus and Alertmanager, which serve others, too.
const ALERTING: [&str; 6] = [
    "PrometheusRuleFailures",
    "ConfigurationNotLoaded",
    "NotificationsDropped",
    "AlertmanagerDown",
    "NotificationsFailing",
    "Watchdog",
];

/// Names in the text of an alert: of its application, and of the component in it. A metrics-host of version 0.1.0 exposes
/// neither.
const NAMES: [(&str, &str); 2] = [
    (
        "application",
        r#"{{ or $labels.application "an unnamed application" }}"#,
    ),
    (
        "component",
        r#"{{ or $labels.application "an unnamed application" }}{{ with $labels.component }}/{{ . }}{{ end }}"#,
    ),
];

/// Renders every file of a configuration folder: both servers and the rules.
///
/// # Errors
/// If a source uses an unknown placeholder.
pub fn render(variant: Variant, addresses: &Addresses) -> Result<Vec<File>, TemplateError> {
    let settings = Settings::of_folder(variant, addresses);
    let mut values = with_addresses(&settings, addresses);
    let servers = SERVERS.iter().map(|(path, source)| {
        let text = fill(&mut values, path, source)?;
        Ok(File { path, text })
    });
    let mut files = servers.collect::<Result<Vec<_>, _>>()?;
    files.extend(rules(&settings)?);
    Ok(files)
}

/// Renders the rules.
///
/// # Errors
/// If a source uses an unknown placeholder.
pub fn rules(settings: &Settings) -> Result<Vec<File>, TemplateError> {
    rules_with(settings.placeholders(), settings)
}

/// The same, with other values of placeholders.
pub(crate) fn rules_with(
    placeholders: Placeholders,
    settings: &Settings,
) -> Result<Vec<File>, TemplateError> {
    let mut values = Values::rules(placeholders.into_iter().chain(names()));
    let files = RULES.iter().map(|(path, source)| {
        let text = fill(&mut values, path, source)?;
        let text = chosen(&text, settings);
        Ok(File { path, text })
    });
    files.collect()
}

/// Renders `source`, which may be an older version of the file at `path`.
///
/// # Errors
/// If `source` uses an unknown placeholder.
pub fn render_source(
    variant: Variant,
    addresses: &Addresses,
    path: &str,
    source: &str,
) -> Result<String, TemplateError> {
    let settings = Settings::of_folder(variant, addresses);
    fill(&mut with_addresses(&settings, addresses), path, source)
}

fn with_addresses(settings: &Settings, addresses: &Addresses) -> Values {
    let addresses = addresses.values();
    let addresses = addresses.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    Values::rules(
        settings
            .placeholders()
            .into_iter()
            .chain(addresses)
            .chain(names()),
    )
}

fn names() -> impl Iterator<Item = (String, Option<String>)> {
    let names = NAMES.into_iter();
    names.map(|(name, text)| (name.to_owned(), Some(text.to_owned())))
}

fn fill(values: &mut Values, path: &str, source: &str) -> Result<String, TemplateError> {
    let text = values.fill(path, source)?;
    Ok(if path.starts_with("rules/") {
        format!("{HEADER}{text}")
    } else {
        format!("# Generated from alerts/source/{path} by `make rules`: edit that.\n{text}")
    })
}

/// Confines the rules to the chosen series. Alerts about Prometheus and Alertmanager read series of their own, and may be
/// left out.
fn chosen(rules: &str, settings: &Settings) -> String {
    const ALERT: &str = "      - alert: ";
    let mut blocks = rules.split(ALERT);
    let head = blocks.next().unwrap_or_default();
    let mut text = confine(head, &settings.matchers);
    for block in blocks {
        let name = block.lines().next().unwrap_or_default();
        let block = format!("{ALERT}{block}");
        if !ALERTING.contains(&name) {
            text += &confine(&block, &settings.matchers);
        } else if settings.alerting {
            text += &block;
        }
    }
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_uses_every_value() {
        let settings = Settings::default();
        let values = with_addresses(&settings, &Addresses::loopback());
        let sources = SERVERS
            .iter()
            .chain(RULES)
            .chain(&crate::dashboards::SOURCES);
        let sources: String = sources.map(|(_, source)| *source).collect();
        for name in values.names() {
            // A duration has two, in digits and in words: one use is enough.
            let name = name.strip_suffix("_words").unwrap_or(name);
            let uses = [format!("{{{name}}}"), format!("{{{name}_words}}")];
            assert!(uses.iter().any(|used| sources.contains(used)), "{name}");
        }
    }
}
