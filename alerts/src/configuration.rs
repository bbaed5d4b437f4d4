//! The files of a configuration folder.

use crate::{
    Addresses, Variant, duration,
    template::{TemplateError, Values},
    thresholds::THRESHOLDS,
};

/// A rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path in the folder, such as `rules/app.yml`.
    pub path: &'static str,
    /// Rendered content.
    pub text: String,
}

macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../source/", $path)))),*]
    };
}

const SOURCES: &[(&str, &str)] = sources![
    "prometheus.yml",
    "alertmanager.yml",
    "rules/app.yml",
    "rules/metrics-host.yml",
    "rules/recording.yml",
    "rules/slo.yml",
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

/// Renders every file of a configuration folder.
///
/// # Errors
/// If a source uses an unknown placeholder, or no source uses a value.
pub fn render(variant: Variant, addresses: &Addresses) -> Result<Vec<File>, TemplateError> {
    let thresholds = THRESHOLDS.map(|(name, value)| (name, value.to_owned()));
    fill_all(variant, addresses, &thresholds)
}

/// The same, with other thresholds.
pub(crate) fn fill_all(
    variant: Variant,
    addresses: &Addresses,
    thresholds: &[(&str, String)],
) -> Result<Vec<File>, TemplateError> {
    let mut values = values(variant, addresses, thresholds);
    let files = SOURCES.iter().map(|(path, source)| {
        let text = fill(&mut values, path, source)?;
        Ok(File { path, text })
    });
    let files = files.collect::<Result<_, _>>()?;
    values.all_used()?;
    Ok(files)
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
    let thresholds = THRESHOLDS.map(|(name, value)| (name, value.to_owned()));
    fill(&mut values(variant, addresses, &thresholds), path, source)
}

fn values(variant: Variant, addresses: &Addresses, thresholds: &[(&str, String)]) -> Values {
    let addresses = addresses.values();
    let addresses = addresses.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let durations = variant.durations().flat_map(|(name, duration)| {
        let words =
            duration::words(duration).expect("durations are constants of one number and one unit");
        [
            (name.to_owned(), duration.to_owned()),
            (format!("{name}_words"), words),
        ]
    });
    let names = NAMES.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let thresholds = thresholds.iter();
    let thresholds = thresholds.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let all = addresses.into_iter().chain(durations).chain(names);
    Values::new(all.chain(thresholds))
}

fn fill(values: &mut Values, path: &str, source: &str) -> Result<String, TemplateError> {
    let text = values.fill(path, source)?;
    Ok(format!(
        "# Generated from alerts/source/{path} by `make rules`: edit that.\n{text}"
    ))
}
