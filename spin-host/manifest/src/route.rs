//! Routes of triggers: which paths a trigger answers.

use std::{fmt, str::FromStr};

/// A trigger's route: `/exact`, `/with/:parameter`, or, with `/...` at its end, all paths below.
#[derive(Clone, Debug)]
pub struct TriggerRoute {
    text: String,
    segments: Vec<Segment>,
    wildcard: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter,
}

/// Why a text is not a route.
#[expect(missing_docs, reason = "each message says it all")]
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("does not begin with /")]
    NoSlash,
    #[error("has ... elsewhere than at its end")]
    MisplacedWildcard,
    #[error("has a parameter without a name")]
    NamelessParameter,
}

impl FromStr for TriggerRoute {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix('/').ok_or(RouteError::NoSlash)?;
        let mut parts: Vec<_> = split(path).collect();
        let wildcard = parts.pop_if(|last| *last == "...").is_some();
        let segments = parts
            .into_iter()
            .map(|part| match part.strip_prefix(':') {
                Some("") => Err(RouteError::NamelessParameter),
                Some(_) => Ok(Segment::Parameter),
                None if part.contains("...") => Err(RouteError::MisplacedWildcard),
                None => Ok(Segment::Literal(part.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            segments,
            wildcard,
        })
    }
}

impl TriggerRoute {
    /// Returns whether the route answers `path`.
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = split(path);
        self.segments.iter().all(|segment| {
            parts.next().is_some_and(|part| match segment {
                Segment::Literal(literal) => literal == part,
                Segment::Parameter => true,
            })
        }) && (self.wildcard || parts.next().is_none())
    }

    /// Returns what sorts routes so that the first that matches is the most specific one.
    pub fn specificity(&self) -> impl Ord + use<> {
        let literals = self
            .segments
            .iter()
            .filter(|segment| **segment != Segment::Parameter)
            .count();
        (!self.wildcard, self.segments.len(), literals)
    }

    /// Returns the route as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for TriggerRoute {
    /// Routes are equal that answer the same paths.
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments && self.wildcard == other.wildcard
    }
}

impl fmt::Display for TriggerRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_answer_the_paths_they_describe() {
        let cases = [
            ("/...", "/", true),
            ("/...", "/any/thing", true),
            ("/", "/", true),
            ("/", "/x", false),
            ("/api/...", "/api", true),
            ("/api/...", "/api/x/y", true),
            ("/api/...", "/apix", false),
            ("/user/:id", "/user/7", true),
            ("/user/:id", "/user", false),
            ("/user/:id", "/user/7/x", false),
        ];
        for (route, path, expected) in cases {
            assert_eq!(
                route.parse::<TriggerRoute>().unwrap().matches(path),
                expected,
                "{route} {path}"
            );
        }
    }

    #[test]
    fn the_most_specific_route_comes_first() {
        let mut routes: Vec<TriggerRoute> = ["/...", "/a/...", "/a/:b", "/a/b", "/a"]
            .map(|route| route.parse().unwrap())
            .into();
        routes.sort_by_key(|route| std::cmp::Reverse(route.specificity()));
        let order: Vec<_> = routes.iter().map(TriggerRoute::as_str).collect();
        assert_eq!(order, ["/a/b", "/a/:b", "/a", "/a/...", "/..."]);
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(
            "x".parse::<TriggerRoute>().unwrap_err(),
            RouteError::NoSlash
        );
        assert_eq!(
            "/.../x".parse::<TriggerRoute>().unwrap_err(),
            RouteError::MisplacedWildcard
        );
        assert_eq!(
            "/:".parse::<TriggerRoute>().unwrap_err(),
            RouteError::NamelessParameter
        );
    }
}
