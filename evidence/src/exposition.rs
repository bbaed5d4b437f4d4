//! A page of metrics in Prometheus' text format, as its samples.

use anyhow::{Context, Result, bail};

use crate::prometheus::{Labels, Sample};

/// What a page of metrics says.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    samples: Vec<(String, Sample)>,
}

impl Exposition {
    /// Reads a page.
    ///
    /// # Errors
    /// If a line is no sample and no comment.
    pub fn parse(page: &str) -> Result<Self> {
        let lines = page
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples =
            lines.map(|line| sample(line).with_context(|| format!("not a sample: {line:?}")));
        Ok(Self {
            samples: samples.collect::<Result<_>>()?,
        })
    }

    /// Returns the series of one name.
    pub fn series(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let series = self.samples.iter().filter(move |(found, _)| found == name);
        series.map(|(_, sample)| sample)
    }

    /// Returns the sum over the series of `name` that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |found: &Labels, (name, value): &(&str, &str)| {
            found.get(*name).is_some_and(|found| found == value)
        };
        let series = self.series(name);
        let series = series.filter(|sample| labels.iter().all(|label| has(&sample.labels, label)));
        series.map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Result<(String, Sample)> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (label, quoted) = inside.split_once("=\"").context("no label")?;
            let (value, after) = unquote(quoted)?;
            labels.insert(label.to_owned(), value);
            inside = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &inside[1..];
    }
    // A time may follow the value.
    let value = rest.split_whitespace().next().context("no value")?;
    let value = value
        .parse()
        .with_context(|| format!("not a number: {value:?}"))?;
    Ok((name.to_owned(), Sample { labels, value }))
}

/// Splits what follows a quote into the text up to the next, and the rest after that.
fn unquote(quoted: &str) -> Result<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((text, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, escaped)) => text.push(escaped),
                None => break,
            },
            char => text.push(char),
        }
    }
    bail!("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_with_labels_and_without() {
        let page = "# HELP a What.\n# TYPE a counter\na{x=\"1\",y=\"q\\\"}\\\\\\n,\"} 2\na{x=\"1\",y=\"z\"} 3e2 1700000000\na{x=\"2\",y=\"z\"} 5\n\nup +Inf\n";
        let page = Exposition::parse(page).unwrap();
        let odd = page.series("a").next().unwrap();
        assert_eq!(odd.labels["y"], "q\"}\\\n,");
        assert_eq!(page.sum("a", &[]), 307.0);
        assert_eq!(page.sum("a", &[("x", "1")]), 302.0);
        assert_eq!(page.sum("a", &[("x", "1"), ("y", "z")]), 300.0);
        assert_eq!(page.sum("up", &[]), f64::INFINITY);
        assert_eq!(page.series("b").count(), 0);
    }

    #[test]
    fn what_is_no_page_of_metrics_is_named() {
        for line in ["<html>", "a{x=\"1} 2", "a{x=1} 2", "a", "a{} x"] {
            let error = Exposition::parse(line).unwrap_err();
            assert!(
                format!("{error:#}").contains(&format!("{line:?}")),
                "{error:#}"
            );
        }
    }
}
