//! The labels of a series, as the page shows them.

use std::{borrow::Cow, fmt, sync::Arc};

/// Labels as the text `name="value",name="value"`, sorted by name and escaped for the Prometheus text format. No value
/// is empty.
///
/// A text is one allocation for each series, and the page copies it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// Returns labels that [`Self::as_str`] gave before.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the labels as (name, value).
    pub fn pairs(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (name, quoted) = rest.split_once("=\"")?;
            let end = end_of_value(quoted)?;
            rest = quoted[end + 1..].trim_start_matches(',');
            Some((name, unescaped(&quoted[..end])))
        })
    }

    /// Returns the value of a label; an empty one if it is missing.
    pub fn value(&self, name: &str) -> Cow<'_, str> {
        let mut pairs = self.pairs();
        let pair = pairs.find(|(label, _)| *label == name);
        pair.map_or(Cow::Borrowed(""), |(_, value)| value)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<P: IntoIterator<Item = (N, V)>>(pairs: P) -> Self {
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name.as_ref());
            text.push_str("=\"");
            escape(&mut text, value.as_ref());
            text.push('"');
        }
        Self(text.into())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            "" => Ok(()),
            text => write!(f, "{{{text}}}"),
        }
    }
}

fn escape(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '\n', '"']) {
        text.push_str(&rest[..at]);
        text.push('\\');
        text.push(match &rest[at..=at] {
            "\n" => 'n',
            "\"" => '"',
            _ => '\\',
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

/// Returns the index of the quote that ends a value.
fn end_of_value(quoted: &str) -> Option<usize> {
    let mut is_escaped = false;
    quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            letter => letter,
        });
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_written() {
        let given = [("a", "\"\\\n"), ("b", "x=\"y\",c"), ("c", "\\"), ("d", "é")];
        let labels: Labels = given.into_iter().collect();
        assert_eq!(labels.as_str(), r#"a="\"\\\n",b="x=\"y\",c",c="\\",d="é""#);
        let pairs: Vec<_> = labels.pairs().collect();
        assert_eq!(pairs, given.map(|(name, value)| (name, value.into())));
        assert_eq!(
            (labels.value("c"), labels.value("x")),
            ("\\".into(), "".into())
        );
        assert_eq!(Labels::default().to_string(), "");
    }
}
