//! Which operation answers which method and path: the only route table.

use http::{Method, StatusCode};
use telemetry::{Route, Vocabulary, attribute};

/// What a request asks for.
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

/// A path and what can be done there. `GET` answers `HEAD` as well.
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

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The path's template, or [`attribute::UNMATCHED`]; all that telemetry says of the path.
    pub template: &'static str,
    /// What is asked for.
    pub outcome: Outcome<'a>,
}

/// What a request asks for, if anything that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// An operation, with the text in place of `{id}` (empty where the template has none).
    Operation(Operation, &'a str),
    /// The path does not have this method, but those.
    MethodNotAllowed(&'static str),
    /// There is no such path.
    NotFound,
}

/// Finds where a request belongs.
pub fn find<'a>(method: &Method, path: &'a str) -> Matched<'a> {
    let found = RESOURCES
        .iter()
        .find_map(|resource| Some((resource, capture(resource.template, path)?)));
    let Some((resource, id)) = found else {
        return Matched {
            template: attribute::UNMATCHED,
            outcome: Outcome::NotFound,
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
    Matched {
        template: resource.template,
        outcome: match operation {
            Some((_, operation, _)) => Outcome::Operation(*operation, id),
            None => Outcome::MethodNotAllowed(resource.allow),
        },
    }
}

/// Returns what stands in place of the template's `{id}`, if `path` fits.
fn capture<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    match template.strip_suffix("{id}") {
        Some(parent) => path
            .strip_prefix(parent)
            .filter(|id| !id.is_empty() && !id.contains('/')),
        None => (template == path).then_some(""),
    }
}

/// Returns every operation, for whoever makes their series exist before the first request.
pub fn vocabulary() -> Vocabulary {
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
    let nowhere = Route {
        method: Method::GET.as_str().to_owned(),
        route: attribute::UNMATCHED.to_owned(),
        status: StatusCode::NOT_FOUND.as_u16(),
    };
    Vocabulary {
        routes: operations.chain([nowhere]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_operations() {
        let cases = [
            (
                Method::GET,
                "/",
                Outcome::Operation(Operation::ShowService, ""),
            ),
            (
                Method::HEAD,
                "/items",
                Outcome::Operation(Operation::ListItems, ""),
            ),
            (
                Method::POST,
                "/items",
                Outcome::Operation(Operation::CreateItem, ""),
            ),
            (
                Method::PUT,
                "/items/7",
                Outcome::Operation(Operation::ReplaceItem, "7"),
            ),
            (
                Method::PATCH,
                "/items/7",
                Outcome::MethodNotAllowed("GET, HEAD, PUT, DELETE"),
            ),
            (Method::POST, "/", Outcome::MethodNotAllowed("GET, HEAD")),
            (Method::GET, "/items/", Outcome::NotFound),
            (Method::GET, "/items/7/x", Outcome::NotFound),
            (Method::GET, "//", Outcome::NotFound),
            (Method::GET, "", Outcome::NotFound),
        ];
        for (method, path, expected) in cases {
            assert_eq!(find(&method, path).outcome, expected, "{method} {path}");
        }
        assert_eq!(find(&Method::GET, "/items/7").template, "/items/{id}");
        assert_eq!(find(&Method::GET, "/nowhere").template, "unmatched");
    }

    #[test]
    fn what_is_allowed_is_what_there_are_operations_for() {
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
