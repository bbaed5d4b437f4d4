//! Templates with placeholders: `${name}` in rules, and `@{name}` in dashboards, where `${…}` is Grafana's.

use crate::settings::Placeholders;

/// A mismatch between sources and values.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A source uses an undefined placeholder.
    #[error("alerts/source/{file}:{line}: unknown placeholder {name:?}; expected one of: {known}")]
    Unknown {
        /// The source.
        file: String,
        /// Line number in it.
        line: usize,
        /// The placeholder.
        name: String,
        /// The defined placeholders.
        known: String,
    },
    /// A placeholder has no end.
    #[error("alerts/source/{file}:{line}: a placeholder without its `}}`")]
    Unclosed {
        /// The source.
        file: String,
        /// Line number in it.
        line: usize,
    },
    /// A dashboard is not JSON.
    #[error("alerts/source/{file}: not JSON")]
    Json {
        /// The source.
        file: String,
        /// The reason.
        source: serde_json::Error,
    },
}

/// Values by placeholder.
#[derive(Debug)]
pub(crate) struct Values {
    open: &'static str,
    values: Placeholders,
}

impl Values {
    /// Values for placeholders such as `${name}`.
    pub(crate) fn rules(values: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        Self {
            open: "${",
            values: values.into_iter().collect(),
        }
    }

    /// Values for placeholders such as `@{name}`.
    pub(crate) fn dashboards(values: Placeholders) -> Self {
        Self { open: "@{", values }
    }

    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Fills in the placeholders of `text`, the content of `file`, without the lines whose value is not known.
    pub(crate) fn fill(&self, file: &str, text: &str) -> Result<String, TemplateError> {
        let mut filled = String::with_capacity(text.len());
        for (line, text) in (1..).zip(text.split_inclusive('\n')) {
            if let Some(line) = self.fill_line(file, line, text)? {
                filled += &line;
            }
        }
        Ok(filled)
    }

    /// Fills in the placeholders of a line; `None` if the value of one is not known.
    pub(crate) fn fill_line(
        &self,
        file: &str,
        line: usize,
        text: &str,
    ) -> Result<Option<String>, TemplateError> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, placeholder)) = rest.split_once(self.open) {
            let (name, after) =
                placeholder
                    .split_once('}')
                    .ok_or_else(|| TemplateError::Unclosed {
                        file: file.to_owned(),
                        line,
                    })?;
            let value = self
                .values
                .get(name)
                .ok_or_else(|| TemplateError::Unknown {
                    file: file.to_owned(),
                    line,
                    name: name.to_owned(),
                    known: join(self.values.keys()),
                })?;
            let Some(value) = value else { return Ok(None) };
            filled += before;
            filled += value;
            rest = after;
        }
        filled += rest;
        Ok(Some(filled))
    }
}

fn join<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().map(String::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values::rules([
            ("url".into(), None),
            ("window".into(), Some("5m".into())),
            ("window_words".into(), Some("5 minutes".into())),
        ])
    }

    #[test]
    fn placeholders_are_filled_in_but_prometheus_templates_are_not() {
        let text = "rate(x[${window}]) {{ $value }} in ${window_words}\n";
        let filled = values().fill("a.yml", text).unwrap();
        assert_eq!(filled, "rate(x[5m]) {{ $value }} in 5 minutes\n");
    }

    #[test]
    fn a_line_whose_value_is_not_known_is_left_out() {
        let filled = values().fill("a.yml", "a: ${window}\nb: ${url}/x\nc: 1\n");
        assert_eq!(filled.unwrap(), "a: 5m\nc: 1\n");
    }

    #[test]
    fn an_unknown_placeholder_is_reported_with_its_line() {
        let error = values().fill("rules/app.yml", "a\n${window} ${widow}\n");
        assert_eq!(
            error.unwrap_err().to_string(),
            "alerts/source/rules/app.yml:2: unknown placeholder \"widow\"; expected one of: url, window, window_words"
        );
    }

    #[test]
    fn an_unclosed_placeholder_is_an_error() {
        let error = values().fill("a.yml", "\n${window\n}");
        assert_eq!(
            error.unwrap_err().to_string(),
            "alerts/source/a.yml:2: a placeholder without its `}`"
        );
    }
}
