//! The dashboards of Grafana.

use crate::{
    Matcher, Settings,
    matchers::confine_line,
    template::{TemplateError, Values},
};
use serde_json::{Map, Value};

macro_rules! sources {
    ($($file:literal),*) => {
        [$(($file, include_str!(concat!("../source/dashboards/", $file)))),*]
    };
}

pub(crate) const SOURCES: [(&str, &str); 2] = sources!["app-overview.json", "app-slo.json"];

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Name of its file.
    pub file: &'static str,
    /// The classic model of Grafana, whose data source is a variable.
    pub model: Value,
}

impl Dashboard {
    /// Returns the uid, which links and the file are named by.
    pub fn uid(&self) -> &'static str {
        self.file.trim_end_matches(".json")
    }
}

/// Renders the dashboards.
///
/// # Errors
/// If a source uses an unknown placeholder.
pub fn dashboards(settings: &Settings) -> Result<Vec<Dashboard>, TemplateError> {
    let values = Values::dashboards(settings.placeholders());
    let dashboards = SOURCES.iter().map(|(file, source)| {
        let source = serde_json::from_str(source);
        let source = source.map_err(|source| TemplateError::Json {
            file: (*file).to_owned(),
            source,
        })?;
        let rendering = Rendering {
            file,
            values: &values,
            matchers: &settings.matchers,
        };
        let model = rendering.value("", source)?.unwrap_or_default();
        Ok(Dashboard { file, model })
    });
    dashboards.collect()
}

struct Rendering<'a> {
    file: &'a str,
    values: &'a Values,
    matchers: &'a [Matcher],
}

impl Rendering<'_> {
    /// Fills in a value, the content of the field `name`; `None` if it is a link whose address is not known.
    fn value(&self, name: &str, value: Value) -> Result<Option<Value>, TemplateError> {
        Ok(match value {
            Value::Object(fields) => self.object(fields)?,
            Value::Array(values) => {
                let values = values.into_iter().map(|value| self.value("", value));
                let known = values.filter_map(Result::transpose);
                Some(Value::Array(known.collect::<Result<_, _>>()?))
            }
            Value::String(text) => self.text(name, &text)?,
            other => Some(other),
        })
    }

    fn object(&self, fields: Map<String, Value>) -> Result<Option<Value>, TemplateError> {
        let mut filled = Map::new();
        for (name, value) in fields {
            match self.value(&name, value)? {
                Some(value) => {
                    filled.insert(name, value);
                }
                // Without its address, nothing of a link is left.
                None if name == "url" => return Ok(None),
                None => {}
            }
        }
        Ok(Some(Value::Object(filled)))
    }

    fn text(&self, name: &str, text: &str) -> Result<Option<Value>, TemplateError> {
        let Some(filled) = self.values.fill_line(self.file, 1, text)? else {
            return Ok(None);
        };
        // A threshold is a number.
        let is_placeholder = text.starts_with("@{") && text.find('}') == Some(text.len() - 1);
        if let (true, Ok(number)) = (is_placeholder, filled.parse()) {
            return Ok(Some(Value::Number(number)));
        }
        Ok(Some(match name {
            "expr" => confine_line(&filled, self.matchers).into(),
            "query" | "definition" => self.variable(&filled).into(),
            _ => filled.into(),
        }))
    }

    /// Confines the query of a variable: `label_values(metric, label)`.
    fn variable(&self, query: &str) -> String {
        let parts = query.strip_prefix("label_values(");
        match parts.and_then(|parts| parts.rsplit_once(", ")) {
            Some((metric, label)) => {
                format!(
                    "label_values({}, {label}",
                    confine_line(metric, self.matchers)
                )
            }
            None => query.to_owned(),
        }
    }
}
