//! `{{ name }}` in a manifest's texts.

use std::collections::HashMap;

/// Why a text cannot be filled in.
#[expect(missing_docs, reason = "each message says it all")]
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("{{{{ without }}}}")]
    Unclosed,
    #[error("variable {0:?} is not declared in [variables]")]
    Undeclared(String),
}

/// Replaces each `{{ name }}` in `text` by the variable's value.
///
/// # Errors
/// If a variable is not declared, or `{{` is not closed.
pub(crate) fn expand(
    text: &str,
    variables: &HashMap<String, String>,
) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once("{{") {
        let (name, after) = opened.split_once("}}").ok_or(TemplateError::Unclosed)?;
        let value = variables.get(name.trim());
        expanded.push_str(before);
        expanded.push_str(value.ok_or_else(|| TemplateError::Undeclared(name.trim().to_owned()))?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_by_their_values() {
        let variables = HashMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "{{a}}".to_owned()),
        ]);
        assert_eq!(expand("{{ a }}-{{b}}.", &variables), Ok("1-{{a}}.".into()));
        assert_eq!(expand("plain }}", &variables), Ok("plain }}".into()));
        assert_eq!(
            expand("{{ c }}", &variables),
            Err(TemplateError::Undeclared("c".into()))
        );
        assert_eq!(expand("{{ a", &variables), Err(TemplateError::Unclosed));
    }
}
