//! A list of routes, for components without a router that knows them.

use crate::{Incoming, RouteCatalogue};
use routes::Routes;
use std::sync::OnceLock;

/// A list of routes: `METHOD PATH [STATUS]` a line, as in the routes file of `metrics-host`.
///
/// ```
/// use request_telemetry as telemetry;
///
/// static ROUTES: telemetry::RouteList = telemetry::RouteList::new(
///     "GET /orders/{id}
///      POST /orders 201
///      * /files/{*path}",
/// );
///
/// static APP: telemetry::App = telemetry::App {
///     service: "shop",
///     version: "1.0.0",
///     component: "orders",
///     catalogue: || ROUTES.catalogue(),
/// };
/// # assert_eq!((APP.catalogue)().routes.len(), 4);
/// ```
///
/// In the handler, `ROUTES.name(&request)` names the route of the request, before the work begins. The first call reads the
/// list, and panics if a line is no route; so call [`RouteList::catalogue`] in a test.
pub struct RouteList {
    text: &'static str,
    parsed: OnceLock<Routes>,
}

impl RouteList {
    /// Creates the list; `include_str!` reads it from a file.
    pub const fn new(text: &'static str) -> Self {
        Self {
            text,
            parsed: OnceLock::new(),
        }
    }

    /// Names the route of the current request, if one matches.
    ///
    /// # Panics
    /// If the list has a line that is no route.
    pub fn name(&self, request: &impl Incoming) {
        if let Some(template) = self.find(request.method(), request.target()) {
            crate::route(template.to_owned());
        }
    }

    /// Returns the operations of the list, for [`App::catalogue`](crate::App::catalogue).
    ///
    /// # Panics
    /// If the list has a line that is no route.
    pub fn catalogue(&self) -> RouteCatalogue {
        self.parsed().catalogue().clone()
    }

    fn find(&self, method: &str, target: &str) -> Option<&str> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        self.parsed().find(method, path)
    }

    fn parsed(&self) -> &Routes {
        self.parsed.get_or_init(|| {
            let parsed = Routes::parse(self.text);
            parsed.unwrap_or_else(|error| panic!("the list of routes cannot be used: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_route_of_its_path() {
        let list = RouteList::new("GET /orders/{id}\nPOST /orders 201");
        assert_eq!(list.find("GET", "/orders/7?full=1"), Some("/orders/{id}"));
        assert_eq!(list.find("POST", "/orders"), Some("/orders"));
        assert_eq!(list.find("GET", "/secret"), None);
        let statuses = list
            .catalogue()
            .routes
            .into_iter()
            .map(|route| route.status);
        assert_eq!(statuses.collect::<Vec<_>>(), [200, 201]);
    }

    #[test]
    #[should_panic(expected = "line 2: \"orders\" is not a route")]
    fn a_line_that_is_no_route_is_named() {
        RouteList::new("GET /\norders").catalogue();
    }
}
