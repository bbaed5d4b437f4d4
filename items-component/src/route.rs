//! The route table: method and path → operation.

use http::{Method, StatusCode};
use request_telemetry::{Route, RouteCatalogue, attribute};

/// An operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `GET /`
    ShowService,
    /// `GET /items`
    ListItems,
    /// `POST /items`
    CreateItem,
    /// `GET /items/{id}`
    ReadItem,
    /// `PUT /items/{id}`
    ReplaceItem,
    /// `DELETE /items/{id}`
    DeleteItem,
    /// `GET /health/live`
    Live,
    /// `GET /health/ready`
    Ready,
    /// `GET /openapi.json`
    ShowOpenApi,
}

/// A path template with its operations. `GET` also serves `HEAD`.
struct Resource {
    template: &'static str,
    allow: &'static str,
    operations: &'static [(Method, Operation, StatusCode)],
}

const READ_ONLY: &str = "GET, HEAD";

static RESOURCES: [Resource; 6] = [
    Resource {
        template: "/",
        allow: READ_ONLY,
        operations: &[(Method::GET, Operation::ShowService, StatusCode::OK)],
    },
    Resource {
        template: "/items",
        allow: "GET, HEAD, POST",
        operations: &[
            (Method::GET, Operation::ListItems, StatusCode::OK),
            (Method::POST, Operation::CreateItem, StatusCode::CREATED),
        ],
    },
    Resource {
        template: "/items/{id}",
        allow: "GET, HEAD, PUT, DELETE",
        operations: &[
            (Method::GET, Operation::ReadItem, StatusCode::OK),
            (Method::PUT, Operation::ReplaceItem, StatusCode::OK),
            (
                Method::DELETE,
                Operation::DeleteItem,
                StatusCode::NO_CONTENT,
            ),
        ],
    },
    Resource {
        template: "/health/live",
        allow: READ_ONLY,
        operations: &[(Method::GET, Operation::Live, StatusCode::OK)],
    },
    Resource {
        template: "/health/ready",
        allow: READ_ONLY,
        operations: &[(Method::GET, Operation::Ready, StatusCode::OK)],
    },
    Resource {
        template: "/openapi.json",
        allow: READ_ONLY,
        operations: &[(Method::GET, Operation::ShowOpenApi, StatusCode::OK)],
    },
];

/// The result of a route lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteMatch<'a> {
    /// Route template, or [`attribute::UNMATCHED`]: the only form of the path that telemetry sees.
    pub template: &'static str,
    /// The action for the request.
    pub action: Action<'a>,
}

/// The action that a request leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Run an operation. The text is the path's `{id}`, or empty if the template has none.
    Run(Operation, &'a str),
    /// Respond 405 with these methods in `Allow`.
    MethodNotAllowed(&'static str),
    /// Respond 404.
    NotFound,
}

/// Looks up the route of a request.
pub fn find<'a>(method: &Method, path: &'a str) -> RouteMatch<'a> {
    let found = RESOURCES
        .iter()
        .find_map(|resource| Some((resource, capture(resource.template, path)?)));
    let Some((resource, id)) = found else {
        return RouteMatch {
            template: attribute::UNMATCHED,
            action: Action::NotFound,
        };
    };
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let operation = resource
        .operations
        .iter()
        .find(|(allowed, ..)| allowed == method);
    RouteMatch {
        template: resource.template,
        action: match operation {
            Some((_, operation, _)) => Action::Run(*operation, id),
            None => Action::MethodNotAllowed(resource.allow),
        },
    }
}

/// Returns the text in place of `{id}` (or "") if `path` matches `template`.
fn capture<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    match template.strip_suffix("{id}") {
        Some(parent) => path
            .strip_prefix(parent)
            .filter(|id| !id.is_empty() && !id.contains('/')),
        None => (template == path).then_some(""),
    }
}

/// Returns the route catalogue: every operation, and the 404 of an unmatched path.
pub fn catalogue() -> RouteCatalogue {
    let operations = RESOURCES.iter().flat_map(|resource| {
        resource
            .operations
            .iter()
            .map(|(method, _, success)| Route {
                method: method.as_str().to_owned(),
                route: resource.template.to_owned(),
                status: success.as_u16(),
            })
    });
    let unmatched = Route {
        method: Method::GET.as_str().to_owned(),
        route: attribute::UNMATCHED.to_owned(),
        status: StatusCode::NOT_FOUND.as_u16(),
    };
    RouteCatalogue {
        routes: operations.chain([unmatched]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve_to_their_operations() {
        let cases = [
            (Method::GET, "/", Action::Run(Operation::ShowService, "")),
            (
                Method::HEAD,
                "/items",
                Action::Run(Operation::ListItems, ""),
            ),
            (
                Method::POST,
                "/items",
                Action::Run(Operation::CreateItem, ""),
            ),
            (
                Method::PUT,
                "/items/7",
                Action::Run(Operation::ReplaceItem, "7"),
            ),
            (
                Method::PATCH,
                "/items/7",
                Action::MethodNotAllowed("GET, HEAD, PUT, DELETE"),
            ),
            (Method::POST, "/", Action::MethodNotAllowed("GET, HEAD")),
            (Method::GET, "/items/", Action::NotFound),
            (Method::GET, "/items/7/x", Action::NotFound),
            (Method::GET, "//", Action::NotFound),
            (Method::GET, "", Action::NotFound),
        ];
        for (method, path, expected) in cases {
            assert_eq!(find(&method, path).action, expected, "{method} {path}");
        }
        assert_eq!(find(&Method::GET, "/items/7").template, "/items/{id}");
        assert_eq!(find(&Method::GET, "/nowhere").template, "unmatched");
    }

    #[test]
    fn allow_lists_the_methods_of_the_operations() {
        for resource in &RESOURCES {
            let mut methods: Vec<_> = resource
                .operations
                .iter()
                .map(|(method, ..)| method.as_str())
                .collect();
            methods.insert(1, "HEAD");
            assert_eq!(resource.allow, methods.join(", "), "{}", resource.template);
        }
    }
}
