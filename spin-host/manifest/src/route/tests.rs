use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;

fn route(text: &str) -> TriggerRoute {
    text.parse().unwrap()
}

/// Returns the route that serves `path`, as the host chooses it.
fn chosen<'r>(routes: &[&'r str], path: &str) -> Option<&'r str> {
    let mut sorted: Vec<_> = routes.iter().map(|text| (*text, route(text))).collect();
    sorted.sort_by_cached_key(|(_, route)| route.precedence());
    let found = sorted.iter().find(|(_, route)| route.matches(path));
    found.map(|(text, _)| *text)
}

#[test]
fn routes_match_the_paths_they_describe() {
    let cases = [
        ("/...", "/", true),
        ("/...", "/any/thing", true),
        ("/*", "/any/thing", true),
        ("...", "/any", true),
        ("/", "/", true),
        ("/", "/x", false),
        ("/api/...", "/api", true),
        ("/api/*", "/api/", true),
        ("/api/.../", "/api/x/y", true),
        ("/api/...", "/apix", false),
        ("api", "/api", true),
        ("/api", "/api/", true),
        ("/api", "/API", false),
        ("/a/b", "/a//b", false),
        ("/user/:id", "/user/7", true),
        ("/user/:id", "/user", false),
        ("/user/:id", "/user/7/x", false),
        ("/user/:id/x", "/user//x", true),
        ("/user/:id.json", "/user/7.json", true),
        ("/user/:id.json", "/user/7.xml", false),
        ("/user/:id.json", "/user/7.tar.json", false),
        ("/user/:id", "/user/7.json", true),
        ("/.well-known/x", "/.well-known/x", true),
        ("/v1.2/x", "/v1.2/x", true),
        ("/v1.2/x", "/v1.20/x", false),
        ("/é/:x", "/é/ü", true),
    ];
    for (text, path, expected) in cases {
        assert_eq!(route(text).matches(path), expected, "{text} {path}");
    }
}

#[test]
fn parameters_and_the_rest_of_the_path_are_captured() {
    let route = route("/shop/:item.:format/files/...");
    let captures = route.captures("/shop/cup.png/files/a//b/").unwrap();
    assert_eq!(captures.parameters, [("item", "cup"), ("format", "png")]);
    assert_eq!(captures.rest, Some("a//b"));
    let route: TriggerRoute = "/x/file.*".parse().unwrap();
    assert_eq!(route.captures("/x/file.a/b").unwrap().rest, Some("a/b"));
    let route: TriggerRoute = "/x".parse().unwrap();
    assert_eq!(route.captures("/x"), Some(Captures::default()));
}

#[test]
fn the_most_specific_route_wins() {
    let routes = [
        "/...",
        "/a/...",
        "/a/:b",
        "/a/b",
        "/a",
        "/a/:b.json",
        "/:x/b",
        "/a/:b/...",
    ];
    for (path, expected) in [
        ("/a/b", "/a/b"),
        ("/a/c", "/a/:b"),
        ("/a/c.json", "/a/:b.json"),
        ("/a/c/d", "/a/:b/..."),
        ("/a", "/a"),
        ("/c/b", "/:x/b"),
        ("/c", "/..."),
    ] {
        assert_eq!(chosen(&routes, path), Some(expected), "{path}");
    }
    // The first of two that match the same paths.
    assert_eq!(chosen(&["/:x", "/:y"], "/a"), Some("/:x"));
    assert_eq!(chosen(&["/a", "/a/"], "/a"), Some("/a"));
}

#[test]
fn malformed_routes_are_refused() {
    for (text, expected) in [
        ("/.../x", RouteError::MisplacedWildcard),
        ("/a...", RouteError::MisplacedWildcard),
        ("/*/x", RouteError::MisplacedWildcard),
        ("/*.x", RouteError::MisplacedWildcard),
        ("/*rest", RouteError::NamedWildcard),
        ("/a/:", RouteError::NamelessParameter),
    ] {
        assert_eq!(
            text.parse::<TriggerRoute>().unwrap_err(),
            expected,
            "{text}"
        );
    }
}

/// Spin's rule as its documentation and its router state it, on segments without dots: a route matches if each of its
/// segments does, and a wildcard matches the rest. Of two that match, the first segment in which they differ in kind
/// decides: text, then no further segment, then a parameter, then a wildcard.
fn as_spin_states(routes: &[String], path: &str) -> Option<String> {
    let split = |text: &str| -> Vec<String> {
        let text = text.trim_matches('/');
        let parts = text.split('/').filter(|_| !text.is_empty());
        parts.map(|part| part.replace("...", "*")).collect()
    };
    let path = split(path);
    let matches = |pattern: &&String| {
        let pattern = split(pattern);
        let (fixed, is_open) = match pattern.split_last() {
            Some((last, fixed)) if last == "*" => (fixed.to_vec(), true),
            _ => (pattern.clone(), false),
        };
        let fits = match is_open {
            true => fixed.len() <= path.len(),
            false => fixed.len() == path.len(),
        };
        fits && fixed
            .iter()
            .zip(&path)
            .all(|(part, found)| part.starts_with(':') || part == found)
    };
    let kind = |part: Option<&String>| match part.map(|part| part.as_bytes()[0]) {
        Some(b':') => 2,
        Some(b'*') => 3,
        Some(_) => 0,
        None => 1,
    };
    let better = |one: &str, other: &str| {
        let (one, other) = (split(one), split(other));
        (0..one.len().max(other.len()))
            .map(|index| kind(one.get(index)).cmp(&kind(other.get(index))))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    // `min_by` keeps the first of several that are equal.
    routes
        .iter()
        .filter(matches)
        .min_by(|one, other| better(one, other))
        .cloned()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn the_choice_is_that_of_spin(
        routes in prop::collection::vec("(/(a|b|:x|:y)){0,3}(/|/\\.\\.\\.|/\\*|)", 1..6),
        path in "(/(a|b|c)){0,4}/?",
    ) {
        let texts: Vec<&str> = routes.iter().map(String::as_str).collect();
        let expected = as_spin_states(&routes, &path);
        prop_assert_eq!(chosen(&texts, &path), expected.as_deref());
    }
}
