//! Routes without code: a routes file or an OpenAPI document names the endpoints of an application, so that a request
//! is counted under its route template.
//!
//! [`Routes::parse`] reads either format, [`Routes::find`] returns the template for a request, and
//! [`Routes::catalogue`] lists the series that exist at 0 from the start. There is no I/O, and it compiles for
//! `wasm32-wasip2`, too.
//!
//! ```
//! use routes::Routes;
//!
//! let routes = Routes::parse("GET /orders/{id}\n* /files/{*path}  # all methods\n")?;
//! assert_eq!(routes.find("GET", "/orders/7"), Some("/orders/{id}"));
//! assert_eq!(routes.find("PUT", "/files/2026/a.pdf"), Some("/files/{*path}"));
//! assert_eq!(routes.find("GET", "/secret"), None);
//! # Ok::<(), routes::RoutesError>(())
//! ```
//!
//! # Which route a request has
//!
//! | request | decision |
//! |---|---|
//! | several routes match | static text wins over a parameter, a parameter over a catch-all, in each segment from the left |
//! | HEAD | matches the routes of GET, too |
//! | a method that no matching route has, such as OPTIONS | the route of the path: the application answers 405 or the like for it |
//! | trailing slash | makes no difference, unless both spellings are listed |
//! | `%41` for `A` | the same path; `%2F` is part of a segment and separates none |
//! | `//` | kept: a parameter is never empty, so only a catch-all matches |
//! | case | matters |
//! | query | is no part of the path |

#![forbid(unsafe_code)]

mod error;
mod list;
#[cfg(feature = "openapi")]
mod openapi;
mod template;
#[cfg(feature = "openapi")]
#[cfg(test)]
mod tests;

pub use error::RoutesError;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use telemetry::{Route, RouteCatalogue, method};
use template::Template;
use wayfind::{Router, RouterBuilder};

/// Methods for which a route of all methods declares series.
const DECLARED_METHODS: [&str; 2] = ["GET", "POST"];

/// The routes of an application; the default has no routes.
#[derive(Clone)]
pub struct Routes {
    catalogue: RouteCatalogue,
    /// A routes file with the same routes.
    text: String,
    /// The routes that take a method, by method.
    by_method: HashMap<&'static str, Router<Arc<str>>>,
    /// All routes.
    any: Router<Arc<str>>,
}

/// A route as its file lists it.
struct Listed {
    /// Position in the file, for errors.
    place: String,
    /// `None` stands for all methods.
    method: Option<&'static str>,
    template: Template,
    /// Status of a successful response.
    status: u16,
}

impl Listed {
    fn takes(&self, method: &str) -> bool {
        match self.method {
            None => true,
            Some(own) => own == method || (own == "GET" && method == "HEAD"),
        }
    }

    /// Returns its line in a routes file.
    fn to_line(&self) -> String {
        let method = self.method.unwrap_or("*");
        format!("{method} {} {}\n", self.template.text, self.status)
    }
}

impl Routes {
    /// Reads a routes file, or, with the feature `openapi`, an OpenAPI 3 document in JSON or YAML.
    ///
    /// # Errors
    /// If the text is neither, or if two of its templates match the same paths. The error names the place.
    pub fn parse(text: &str) -> Result<Self, RoutesError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let listed = listed(text)?;
        if listed.is_empty() {
            return Err(RoutesError::Empty);
        }
        Self::new(&listed)
    }

    fn new(listed: &[Listed]) -> Result<Self, RoutesError> {
        let mut by_pattern = BTreeMap::<&str, &Listed>::new();
        for route in listed {
            let first = by_pattern.entry(&route.template.pattern).or_insert(route);
            if first.template.text != route.template.text {
                return Err(RoutesError::Ambiguous {
                    place: route.place.clone(),
                    template: route.template.text.to_string(),
                    other_place: first.place.clone(),
                    other: first.template.text.to_string(),
                });
            }
        }
        let methods = method::KNOWN.into_iter().chain([method::OTHER]);
        let by_method = methods
            .filter(|method| listed.iter().any(|route| route.takes(method)))
            .map(|method| {
                let taking = listed.iter().filter(|route| route.takes(method));
                (method, router(taking))
            });
        Ok(Self {
            by_method: by_method.collect(),
            any: router(listed.iter()),
            catalogue: catalogue(listed),
            text: listed.iter().map(Listed::to_line).collect(),
        })
    }

    /// Returns a routes file with the same routes: a few lines instead of an OpenAPI document.
    pub fn to_text(&self) -> &str {
        &self.text
    }

    /// Returns the template of the route that a request has, if any. `path` has no query.
    pub fn find(&self, method: &str, path: &str) -> Option<&str> {
        if self.catalogue.routes.is_empty() {
            return None;
        }
        let path = template::decode(path);
        let own = self.by_method.get(method::normalize(method));
        let search = |path: &str| {
            let mut routers = own.into_iter().chain([&self.any]);
            routers.find_map(|router| Some(&**router.search(path)?.data()))
        };
        search(&path).or_else(|| match path.strip_suffix('/') {
            // An empty last segment is more than a trailing slash.
            Some(shorter) if shorter.ends_with('/') => None,
            Some(shorter) => search(shorter),
            None => search(&format!("{path}/")),
        })
    }

    /// Returns the series that must exist before the first request.
    pub fn catalogue(&self) -> &RouteCatalogue {
        &self.catalogue
    }
}

#[cfg(feature = "openapi")]
fn listed(text: &str) -> Result<Vec<Listed>, RoutesError> {
    match openapi::is_document(text) {
        true => openapi::parse(text),
        false => list::parse(text),
    }
}

#[cfg(not(feature = "openapi"))]
use list::parse as listed;

impl Default for Routes {
    fn default() -> Self {
        Self {
            catalogue: RouteCatalogue::default(),
            text: String::new(),
            by_method: HashMap::new(),
            any: RouterBuilder::new().build(),
        }
    }
}

fn router<'a>(listed: impl Iterator<Item = &'a Listed>) -> Router<Arc<str>> {
    let by_pattern: BTreeMap<_, _> = listed
        .map(|route| (&route.template.pattern, &route.template.text))
        .collect();
    let mut builder = RouterBuilder::new();
    for (pattern, text) in by_pattern {
        builder
            .insert(pattern, Arc::clone(text))
            .expect("templates are checked, and each pattern is added once");
    }
    builder.build()
}

fn catalogue(listed: &[Listed]) -> RouteCatalogue {
    let routes = listed.iter().flat_map(|listed| {
        let methods = match &listed.method {
            Some(method) => std::slice::from_ref(method),
            None => &DECLARED_METHODS,
        };
        methods.iter().map(|method| Route {
            method: (*method).to_owned(),
            route: listed.template.text.to_string(),
            status: listed.status,
        })
    });
    RouteCatalogue {
        routes: routes.collect(),
    }
}
