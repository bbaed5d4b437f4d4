//! Templates with `${name}` placeholders.

use std::collections::{BTreeMap, BTreeSet};

/// A mismatch between sources and values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A source uses an undefined placeholder.
    #[error(
        "alerts/source/{file}:{line}: unknown placeholder ${{{name}}}; expected one of: {known}"
    )]
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
    #[error("alerts/source/{file}:{line}: `${{` without its `}}`")]
    Unclosed {
        /// The source.
        file: String,
        /// Line number in it.
        line: usize,
    },
    /// No source uses a value.
    #[error("placeholder ${{{name}}} is defined, but no file in alerts/source uses it: {files}")]
    Unused {
        /// The placeholder.
        name: String,
        /// The sources.
        files: String,
    },
}

/// Values by placeholder, with a record of which were used.
#[derive(Debug, Default)]
pub(crate) struct Values {
    values: BTreeMap<String, String>,
    used: BTreeSet<String>,
    files: Vec<String>,
}

impl Values {
    pub(crate) fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            values: values.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Fills in the placeholders of `text`, the content of `file`.
    pub(crate) fn fill(&mut self, file: &str, text: &str) -> Result<String, TemplateError> {
        self.files.push(file.to_owned());
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let line = 1 + text[..text.len() - rest.len() + start]
                .matches('\n')
                .count();
            let (before, placeholder) = rest.split_at(start);
            let placeholder = &placeholder["${".len()..];
            let end = placeholder
                .find(['}', '\n'])
                .filter(|end| placeholder[*end..].starts_with('}'))
                .ok_or_else(|| TemplateError::Unclosed {
                    file: file.to_owned(),
                    line,
                })?;
            let name = &placeholder[..end];
            let value = self
                .values
                .get(name)
                .ok_or_else(|| TemplateError::Unknown {
                    file: file.to_owned(),
                    line,
                    name: name.to_owned(),
                    known: join(self.values.keys()),
                })?;
            filled.push_str(before);
            filled.push_str(value);
            self.used.insert(name.to_owned());
            rest = &placeholder[end + 1..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Checks that each value was used. A duration has two, in digits and in words: one use is enough.
    pub(crate) fn all_used(&self) -> Result<(), TemplateError> {
        let unused = self.values.keys().find(|name| {
            let number = name.strip_suffix("_words").unwrap_or(name);
            !self.used.contains(*name) && !self.used.contains(number)
        });
        match unused {
            None => Ok(()),
            Some(name) => Err(TemplateError::Unused {
                name: name.clone(),
                files: join(&self.files),
            }),
        }
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
        Values::new([
            ("window".into(), "5m".into()),
            ("window_words".into(), "5 minutes".into()),
        ])
    }

    #[test]
    fn placeholders_are_filled_in_but_prometheus_templates_are_not() {
        let text = "rate(x[${window}]) {{ $value }} in ${window_words}\n";
        let filled = values().fill("a.yml", text);
        assert_eq!(
            filled.as_deref(),
            Ok("rate(x[5m]) {{ $value }} in 5 minutes\n")
        );
    }

    #[test]
    fn an_unknown_placeholder_is_reported_with_its_line() {
        let error = values().fill("rules/app.yml", "a\n${window} ${widow}\n");
        assert_eq!(
            error.unwrap_err().to_string(),
            "alerts/source/rules/app.yml:2: unknown placeholder ${widow}; expected one of: window, window_words"
        );
    }

    #[test]
    fn an_unclosed_placeholder_is_an_error() {
        let error = values().fill("a.yml", "\n${window\n}");
        assert_eq!(
            error.unwrap_err().to_string(),
            "alerts/source/a.yml:2: `${` without its `}`"
        );
    }

    #[test]
    fn an_unused_value_is_reported_with_the_sources() {
        let mut values = values();
        values.fill("a.yml", "${window}").unwrap();
        assert_eq!(values.all_used(), Ok(()));
        values.values.insert("stray".into(), "1".into());
        values.fill("b.yml", "").unwrap();
        assert_eq!(
            values.all_used().unwrap_err().to_string(),
            "placeholder ${stray} is defined, but no file in alerts/source uses it: a.yml, b.yml"
        );
    }
}
