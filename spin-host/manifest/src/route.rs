//! Routes of triggers: the paths they match, and which of several wins, as under Spin.

use std::fmt;

/// The route of a trigger: `/exact`, `/with/:parameter`, or a prefix that ends with `/...` or `/*`.
#[derive(Clone, Debug)]
pub struct TriggerRoute {
    text: String,
    segments: Vec<Segment>,
}

/// The sections of a segment, which dots separate: `:name.json` has two.
type Segment = Vec<Section>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Section {
    Literal(String),
    Parameter(String),
    /// The rest of the path. Only the last section can be one.
    Wildcard,
}

/// The reason why a text is not a route.
#[expect(missing_docs, reason = "the messages explain the variants")]
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("has ... or * before its end")]
    MisplacedWildcard,
    #[error("has a wildcard with a name; write * or ...")]
    NamedWildcard,
    #[error("has a parameter without a name")]
    NamelessParameter,
}

/// The parts of a path that a route names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Captures<'r, 'p> {
    /// Values of the parameters, by name.
    pub parameters: Vec<(&'r str, &'p str)>,
    /// The rest of the path, without the slash before it.
    pub rest: Option<&'p str>,
}

impl std::str::FromStr for TriggerRoute {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Spin adds the first slash, and ignores one at the end.
        let path = text.strip_suffix('/').unwrap_or(text);
        let (path, ends_with_dots) = match path.strip_suffix("...") {
            Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => (prefix, true),
            _ => (path, false),
        };
        let parts = path.split('/').filter(|part| !part.is_empty());
        let mut segments: Vec<Segment> = parts.map(segment).collect::<Result<_, _>>()?;
        if ends_with_dots {
            segments.push(vec![Section::Wildcard]);
        }
        let mut sections = segments.iter().flatten().rev().skip(1);
        if sections.any(|section| *section == Section::Wildcard) {
            return Err(RouteError::MisplacedWildcard);
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }
}

fn segment(text: &str) -> Result<Segment, RouteError> {
    if text.contains("...") {
        return Err(RouteError::MisplacedWildcard);
    }
    let section = |text: &str| match (text, text.strip_prefix(':')) {
        ("*", _) => Ok(Section::Wildcard),
        (_, Some("")) => Err(RouteError::NamelessParameter),
        (_, Some(name)) => Ok(Section::Parameter(name.to_owned())),
        _ if text.starts_with('*') => Err(RouteError::NamedWildcard),
        _ => Ok(Section::Literal(text.to_owned())),
    };
    text.split('.').map(section).collect()
}

impl TriggerRoute {
    /// Returns whether the route matches `path`.
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, |_, _| {}).is_some()
    }

    /// Returns the parts of `path` that the route names, if it matches.
    pub fn captures<'r, 'p>(&'r self, path: &'p str) -> Option<Captures<'r, 'p>> {
        let mut parameters = Vec::new();
        let rest = self.walk(path, |name, value| parameters.push((name, value)))?;
        Some(Captures { parameters, rest })
    }

    /// Matches `path`, reports its parameters, and returns what the wildcard stands for. Slashes around the path do not
    /// count.
    fn walk<'r, 'p>(
        &'r self,
        path: &'p str,
        mut parameter: impl FnMut(&'r str, &'p str),
    ) -> Option<Option<&'p str>> {
        let path = path.trim_matches('/');
        let mut rest = (!path.is_empty()).then_some(path);
        for segment in &self.segments {
            if *segment == [Section::Wildcard] {
                return Some(Some(rest.unwrap_or_default()));
            }
            let all = rest?;
            let (mut part, next) = match all.split_once('/') {
                Some((part, next)) => (part, Some(next)),
                None => (all, None),
            };
            rest = next;
            let length = part.len();
            for (index, section) in segment.iter().enumerate() {
                let is_last = index + 1 == segment.len();
                if *section == Section::Wildcard {
                    return Some(all.get(length - part.len()..));
                }
                let (text, after) = match is_last {
                    true => (part, ""),
                    false => part.split_once('.')?,
                };
                part = after;
                match section {
                    Section::Literal(literal) if literal != text => return None,
                    Section::Parameter(name) => parameter(name, text),
                    _ => {}
                }
            }
        }
        rest.is_none().then_some(None)
    }

    /// Returns a sort key. Of the routes that match a path, the one with the lowest key wins: text wins over a parameter,
    /// a parameter over a wildcard, from the left to the right, and more sections win over fewer.
    pub fn precedence(&self) -> impl Ord + use<> {
        let rank = |section: &Section| match section {
            Section::Literal(_) => 0,
            Section::Parameter(_) => 1,
            Section::Wildcard => 2,
        };
        let ranks = |segment: &Segment| segment.iter().map(rank).chain([3]).collect::<Vec<u8>>();
        self.segments.iter().map(ranks).collect::<Vec<_>>()
    }

    /// Returns the names of the parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let sections = self.segments.iter().flatten();
        sections.filter_map(|section| match section {
            Section::Parameter(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns the route as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TriggerRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
