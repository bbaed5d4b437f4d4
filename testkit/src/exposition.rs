//! Pages of `/metrics` in the Prometheus text format.
//!
//! Written here since the parsers on crates.io either skip malformed lines (`prometheus-parse`) or are licensed under
//! the LGPL (`openmetrics-parser`).

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// A sample's labels.
pub type Labels = BTreeMap<String, String>;

/// A parsed page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    samples: BTreeMap<String, BTreeMap<Labels, f64>>,
    types: BTreeMap<String, String>,
    helps: BTreeSet<String>,
}

impl Exposition {
    /// Parses a page. Timestamps are ignored.
    ///
    /// # Errors
    /// If a line is neither a comment nor a sample, or if a sample or a declaration appears twice; the error has the
    /// line.
    pub fn parse(page: &str) -> Result<Self> {
        let mut parsed = Self::default();
        for line in page.lines().filter(|line| !line.is_empty()) {
            let read = if line.starts_with('#') {
                parsed.declare(line)
            } else {
                parsed.sample(line)
            };
            read.with_context(|| format!("line {line:?}"))?;
        }
        Ok(parsed)
    }

    /// Checks that every sample belongs to a family with a type and a help text.
    ///
    /// # Errors
    /// If one does not.
    pub fn declared(self) -> Result<Self> {
        for name in self.samples.keys() {
            let family = self.family(name);
            ensure!(self.types.contains_key(family), "{name} has no type");
            ensure!(self.helps.contains(family), "{name} has no help");
        }
        Ok(self)
    }

    /// Returns the type of a family: `counter`, `gauge`, `histogram`, …
    pub fn kind(&self, family: &str) -> Option<&str> {
        self.types.get(family).map(String::as_str)
    }

    /// Returns the names of all samples.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// Returns labels and value of each sample of `name`.
    pub fn samples(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let samples = self.samples.get(name).into_iter().flatten();
        samples.map(|(labels, value)| (labels, *value))
    }

    /// Returns the number of samples of `name`.
    pub fn series(&self, name: &str) -> usize {
        self.samples.get(name).map_or(0, BTreeMap::len)
    }

    /// Returns the sum over the samples of `name` whose labels include `labels`; 0 without samples.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.with(name, labels).map(|(_, value)| value).sum()
    }

    /// Returns the samples of `name` whose labels include `labels`.
    fn with(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = (&Labels, f64)> {
        self.samples(name).filter(|(of, _)| {
            let mut labels = labels.iter();
            labels.all(|(label, value)| of.get(*label).is_some_and(|found| found == value))
        })
    }

    /// Returns the value of the sample with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter();
        let labels = labels.map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        self.samples.get(name)?.get(&labels.collect()).copied()
    }

    /// Returns whether there is a sample whose labels include `labels`.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.with(name, labels).next().is_some()
    }

    /// Returns the family that would declare the sample `name`.
    pub fn family<'a>(&self, name: &'a str) -> &'a str {
        let parts = ["_bucket", "_sum", "_count"];
        let mut families = parts.iter().filter_map(|part| name.strip_suffix(part));
        let composite = |kind| matches!(kind, "histogram" | "summary");
        families
            .find(|family| self.kind(family).is_some_and(composite))
            .unwrap_or(name)
    }

    fn declare(&mut self, line: &str) -> Result<()> {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').context("no type")?;
            let earlier = self.types.insert(name.to_owned(), kind.to_owned());
            ensure!(earlier.is_none(), "type declared twice");
        } else if let Some(declared) = line.strip_prefix("# HELP ") {
            let (name, help) = declared.split_once(' ').unwrap_or((declared, ""));
            ensure!(!help.is_empty(), "empty help");
            ensure!(self.helps.insert(name.to_owned()), "help declared twice");
        }
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<()> {
        let end = line.find(['{', ' ']).context("no value")?;
        let (name, mut rest) = line.split_at(end);
        ensure!(is_name(name), "not a name: {name:?}");
        let mut labels = Labels::new();
        if let Some(mut inside) = rest.strip_prefix('{') {
            while !inside.starts_with('}') {
                let (label, quoted) = inside.split_once("=\"").context("no label")?;
                ensure!(is_name(label), "not a label: {label:?}");
                let (value, after) = unquote(quoted)?;
                let earlier = labels.insert(label.to_owned(), value);
                ensure!(earlier.is_none(), "label {label} twice");
                inside = match after.strip_prefix(',') {
                    Some(more) => more,
                    None if after.starts_with('}') => after,
                    None => bail!("no comma after label {label}"),
                };
            }
            rest = &inside[1..];
        }
        let mut fields = rest.split_whitespace();
        let value = fields.next().context("no value")?;
        let value = value
            .parse()
            .with_context(|| format!("not a number: {value:?}"))?;
        let timestamp = fields.next().map(str::parse::<i64>).transpose();
        ensure!(
            timestamp.is_ok() && fields.next().is_none(),
            "text after the value"
        );
        let samples = self.samples.entry(name.to_owned()).or_default();
        ensure!(samples.insert(labels, value).is_none(), "sample twice");
        Ok(())
    }
}

/// Returns a count as an integer.
///
/// # Panics
/// If it is not one.
pub fn whole(count: f64) -> u64 {
    assert!(
        count >= 0.0 && count.fract() == 0.0,
        "{count} is not a number of events"
    );
    count as u64
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|first| !first.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
}

/// Returns the text up to the closing quote, and what follows the quote.
fn unquote(quoted: &str) -> Result<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((text, &quoted[at + 1..])),
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                _ => bail!("unknown escape"),
            },
            char => text.push(char),
        }
    }
    bail!("unclosed quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a A thing.\n# TYPE a counter\n\
        a{x=\"1\",y=\"q\\\"}\\\\\\n,\"} 2\na{x=\"1\",y=\"/items/{id}\"} 3e2 1700000000\na{x=\"2\",y=\"z\",} 5\n\n\
        # a comment\n# HELP h Time.\n# TYPE h histogram\n\
        h_bucket{le=\"+Inf\"} 1\nh_sum 0.5\nh_count 1\nup +Inf\n";

    #[test]
    fn a_page_is_read_with_labels_and_without() {
        let page = Exposition::parse(PAGE).unwrap();
        assert!(page.has("a", &[("x", "1"), ("y", "q\"}\\\n,")]));
        assert!(page.has("a", &[("x", "1")]));
        assert!(!page.has("a", &[("x", "3")]));
        assert_eq!(page.sum("a", &[]), 307.0);
        assert_eq!(page.sum("a", &[("x", "1")]), 302.0);
        assert_eq!(page.value("a", &[("x", "2"), ("y", "z")]), Some(5.0));
        assert_eq!(page.sum("up", &[]), f64::INFINITY);
        assert_eq!((page.series("a"), page.series("b")), (3, 0));
        assert_eq!((page.kind("h"), page.kind("up")), (Some("histogram"), None));
        let names: Vec<_> = page.names().collect();
        assert_eq!(names, ["a", "h_bucket", "h_count", "h_sum", "up"]);
        assert_eq!(page.samples("h_sum").next(), Some((&Labels::new(), 0.5)));
    }

    #[test]
    fn a_sample_without_a_declaration_is_found() {
        let error = Exposition::parse(PAGE).unwrap().declared().unwrap_err();
        assert_eq!(error.to_string(), "up has no type");
        let (declared, _) = PAGE.split_once("up").unwrap();
        Exposition::parse(declared).unwrap().declared().unwrap();
        let error = Exposition::parse("# TYPE a gauge\na 1").unwrap().declared();
        assert_eq!(error.unwrap_err().to_string(), "a has no help");
    }

    #[test]
    fn a_malformed_line_is_named() {
        for line in [
            "<html>",
            "a{x=\"1} 2",
            "a{x=1} 2",
            "a{x=\"1\"y=\"2\"} 2",
            "a{x=\"1\",x=\"2\"} 2",
            "a{x=\"\\t\"} 2",
            "a{9=\"\"} 2",
            "a",
            "a{} x",
            "a 1 2 3",
            "a 1 later",
            "1a 2",
            "# TYPE a",
            "# HELP a",
        ] {
            let error = Exposition::parse(line).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(&format!("{line:?}")), "{error}");
        }
        for line in ["a 1", "a{x=\"1\"} 1", "# TYPE a gauge", "# HELP a A."] {
            let error = Exposition::parse(&format!("{line}\n{line}")).unwrap_err();
            assert!(format!("{error:#}").contains("twice"), "{error:#}");
        }
    }

    #[test]
    fn a_number_of_events_is_whole() {
        assert_eq!(whole(3.0), 3);
        for wrong in [0.5, -1.0, f64::NAN] {
            assert!(
                std::panic::catch_unwind(|| whole(wrong)).is_err(),
                "{wrong}"
            );
        }
    }
}
