//! The routes file: one route per line, `METHOD PATH [STATUS]`; `#` begins a comment.

use crate::{
    Listed, RoutesError,
    template::{Template, TemplateError},
};
use telemetry::method;

/// Status of a successful response, unless the line names another.
const SUCCESS: u16 = 200;

pub(crate) fn parse(text: &str) -> Result<Vec<Listed>, RoutesError> {
    let mut listed = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = line.split_whitespace();
        let words: Vec<_> = words.take_while(|word| !word.starts_with('#')).collect();
        if !words.is_empty() {
            listed.push(route(format!("line {}", index + 1), &words)?);
        }
    }
    Ok(listed)
}

fn route(place: String, words: &[&str]) -> Result<Listed, RoutesError> {
    let not_a_route = || RoutesError::Line {
        place: place.clone(),
        line: words.join(" "),
    };
    let (method, path, status) = match *words {
        [method, path] => (method, path, SUCCESS),
        [method, path, status] => {
            let status = status
                .parse()
                .ok()
                .filter(|status| (200..1000).contains(status));
            (method, path, status.ok_or_else(not_a_route)?)
        }
        _ => return Err(not_a_route()),
    };
    let method = match method {
        "*" => None,
        method => match method::normalize(method) {
            method::OTHER => {
                return Err(RoutesError::Method {
                    place,
                    method: method.to_owned(),
                });
            }
            known => Some(known),
        },
    };
    let template = own_syntax(path).and_then(|()| Template::parse(path));
    Ok(Listed {
        method,
        status,
        template: template.map_err(|reason| RoutesError::Template {
            place: place.clone(),
            template: path.to_owned(),
            reason,
        })?,
        place,
    })
}

/// Refuses the parameters of other routers (`:id`, `*`, `...`), which would match nothing but themselves.
fn own_syntax(path: &str) -> Result<(), TemplateError> {
    let foreign = |segment: &&str| segment.starts_with([':', '*']) || *segment == "...";
    match path.split('/').find(foreign) {
        Some(segment) => Err(TemplateError::Foreign(segment.to_owned())),
        None => Ok(()),
    }
}
