//! Reasons why a manifest cannot be hosted, each with its line.

use std::{fmt, ops::Range};

/// Something in a manifest that is wrong, or that is not supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Number of the line, from 1.
    pub line: usize,
    /// The table and the key, such as `component "shop", files`.
    pub place: String,
    /// The problem, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            place,
            message,
        } = self;
        write!(f, "line {line}: {place}: {message}")
    }
}

/// The reason why a manifest cannot be hosted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages explain the variants")]
pub enum ManifestError {
    #[error("cannot be read")]
    Unreadable(#[source] std::io::Error),
    #[error("line {line}: {message}")]
    Malformed { line: usize, message: String },
    #[error(
        "version 1 of the manifest is not supported; `spin doctor` rewrites the file as version 2"
    )]
    VersionOne,
    #[error("spin_manifest_version {0} is not supported; only 2 is")]
    Version(String),
    #[error("no [[trigger.http]]: nothing to serve")]
    NoTrigger,
    #[error("{}", summary(.0))]
    Problems(Vec<Problem>),
}

/// The first problem, and the number of the others.
fn summary(problems: &[Problem]) -> String {
    let first = problems.first().map(Problem::to_string).unwrap_or_default();
    match problems.len() {
        0 | 1 => first,
        count => format!(
            "{first} (and {} more: `metrics-host check` lists them)",
            count - 1
        ),
    }
}

impl ManifestError {
    /// Puts an error of the parser on one line; its own rendering takes several.
    pub(crate) fn malformed(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        Self::Malformed {
            line: line(text, &span),
            message: error.message().to_owned(),
        }
    }
}

/// Problems found so far in the text of a manifest.
pub(crate) struct Problems<'t> {
    text: &'t str,
    pub(crate) found: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        span: &Range<usize>,
        place: impl Into<String>,
        message: impl fmt::Display,
    ) {
        self.found.push(Problem {
            line: line(self.text, span),
            place: place.into(),
            message: message.to_string(),
        });
    }

    /// Notes the error of a result. Returns its value.
    pub(crate) fn note<T, E: fmt::Display>(
        &mut self,
        span: &Range<usize>,
        place: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(span, place, error)).ok()
    }

    /// Returns the problems in the order of their lines.
    pub(crate) fn sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.line);
        self.found
    }
}

fn line(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or_default();
    1 + before.matches('\n').count()
}
