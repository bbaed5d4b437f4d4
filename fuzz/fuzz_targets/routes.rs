//! Reads text as the routes of an application, a list or an OpenAPI document, below a line with the path of a request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use routes::Routes;

fuzz_target!(|text: &str| {
    let (path, file) = text.split_once('\n').unwrap_or(("/", text));
    match Routes::parse(file) {
        Ok(routes) => check(&routes, path),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check(routes: &Routes, path: &str) {
    let listed = &routes.catalogue().routes;
    for route in listed {
        // A template is a path that matches itself, or something more specific.
        assert!(routes.find(&route.method, &route.route).is_some(), "{}", route.route);
    }
    let found = routes.find("GET", path);
    assert!(found.is_none_or(|found| listed.iter().any(|route| route.route == found)));
    if !path.contains('%') {
        assert_eq!(routes.find("GET", &escaped(path)), found, "{path}");
    }
}

/// Spells letters and digits as escapes.
fn escaped(path: &str) -> String {
    let mut escaped = String::new();
    for char in path.chars() {
        match char.is_ascii_alphanumeric() {
            true => escaped.push_str(&format!("%{:02x}", u32::from(char))),
            false => escaped.push(char),
        }
    }
    escaped
}
