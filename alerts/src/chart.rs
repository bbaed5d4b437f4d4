//! The rules of the Helm chart.
//!
//! They keep placeholders for what the chart's user chooses: `${namespace}`, addresses in links, limits and the objective.
//! The chart's template replaces them. Its dashboards are those of `source/`, whose placeholders it replaces, too.

use crate::{
    File, Matcher, Settings, TemplateError,
    configuration::{HEADER, rules_with},
};

/// Renders the rules.
///
/// # Errors
/// See [`crate::render`].
pub(crate) fn chart() -> Result<Vec<File>, TemplateError> {
    let settings = Settings {
        alerting: false,
        matchers: vec![Matcher {
            label: "namespace".into(),
            condition: r#"="${namespace}""#.into(),
        }],
        ..Settings::default()
    };
    let mut placeholders = settings.placeholders();
    let chosen = settings.thresholds.values().map(|(name, _)| name);
    for name in chosen.into_iter().chain(["runbooks_url", "grafana_url"]) {
        placeholders.insert(name.to_owned(), Some(format!("${{{name}}}")));
    }
    let files = rules_with(placeholders, &settings)?.into_iter();
    let named = files.map(|file| File {
        text: file.text.replacen(HEADER, CHART_HEADER, 1),
        ..file
    });
    Ok(named.collect())
}

/// First line of each file.
const CHART_HEADER: &str = "# Written by `make rules` from alerts/source: edit that.\n";
