//! Paths for a person to try, from the routes that are known at the start.

use telemetry::Route;

/// Maximum number of examples.
const MAX_EXAMPLES: usize = 3;
/// Value of a parameter in an example.
const VALUE: &str = "1";

/// Returns paths that GET routes match; those without parameters come first.
pub(crate) fn examples(routes: &[Route]) -> Vec<String> {
    let gets = routes.iter().filter(|route| route.method == "GET");
    let mut paths = Vec::new();
    for route in gets {
        let path = path(&route.route);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths.sort_by_key(|(_, has_parameters)| *has_parameters);
    let paths = paths.into_iter().take(MAX_EXAMPLES);
    paths.map(|(path, _)| path).collect()
}

/// Returns a path that the template of a route matches, and whether the template has parameters.
fn path(template: &str) -> (String, bool) {
    let exact = match template
        .strip_suffix("/...")
        .or(template.strip_suffix("/*"))
    {
        Some("") => "/",
        Some(base) => base,
        None => template,
    };
    let is_parameter = |segment: &str| segment.contains(['{', '*']) || segment.starts_with(':');
    let segments = exact.split('/').map(|segment| match is_parameter(segment) {
        true => VALUE,
        false => segment,
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let has_parameters = path != exact;
    (path, has_parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_paths_of_get_routes() {
        let route = |line: &str| {
            let (method, route) = line.split_once(' ').unwrap();
            Route {
                method: method.into(),
                route: route.into(),
                status: 200,
            }
        };
        for (routes, expected) in [
            (&["GET /..."][..], &["/"][..]),
            (
                &[
                    "GET /a/:id/x",
                    "POST /b",
                    "GET /c",
                    "GET /api/...",
                    "GET /c",
                ],
                &["/c", "/api", "/a/1/x"],
            ),
            (
                &["GET /1", "GET /2", "GET /3", "GET /4"],
                &["/1", "/2", "/3"],
            ),
            (&["GET /v{version}/{rest*}"], &["/1/1"]),
            (&["POST /only"], &[]),
        ] {
            let routes: Vec<_> = routes.iter().map(|line| route(line)).collect();
            assert_eq!(examples(&routes), expected);
        }
    }
}
