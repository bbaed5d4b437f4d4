//! The pages that alerts link to: `alerts/runbooks/*.md`, embedded when the binary is built.

use crate::{Build, html};
use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use pulldown_cmark::{Event, Options, Parser};

/// Name and text of each, in the order of their names.
const RUNBOOKS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/runbooks.rs"));

#[derive(Template)]
#[template(path = "runbooks.html")]
struct Index<'a> {
    build: Build,
    names: Vec<&'static str>,
    /// Name that was asked for and does not exist.
    missing: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "runbook.html")]
struct Page<'a> {
    build: Build,
    name: &'a str,
    /// HTML.
    text: String,
}

/// Returns whether there is a runbook for the alert `name`.
pub(crate) fn has(name: &str) -> bool {
    text(name).is_some()
}

/// Returns the list of all.
pub(crate) fn index(build: Build) -> Response<Full<Bytes>> {
    list(StatusCode::OK, None, build)
}

/// Returns the runbook for the alert `name`.
pub(crate) fn page(name: &str, build: Build) -> Response<Full<Bytes>> {
    match text(name) {
        Some(markdown) => html::page(
            StatusCode::OK,
            &Page {
                build,
                name,
                text: render(markdown),
            },
        ),
        None => list(StatusCode::NOT_FOUND, Some(name), build),
    }
}

fn list(status: StatusCode, missing: Option<&str>, build: Build) -> Response<Full<Bytes>> {
    let names = RUNBOOKS.iter().map(|(name, _)| *name).collect();
    html::page(
        status,
        &Index {
            build,
            names,
            missing,
        },
    )
}

fn text(name: &str) -> Option<&'static str> {
    let found = RUNBOOKS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Turns Markdown into HTML; HTML in it is shown as text.
fn render(markdown: &str) -> String {
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        other => other,
    });
    let mut html = String::with_capacity(2 * markdown.len());
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_runbook_is_text() {
        let html =
            render("# A <b>title</b>\n\n<script>alert(1)</script>\n\n| a |\n|---|\n| `<i>` |\n");
        assert!(
            !html.contains("<script") && !html.contains("<b>") && !html.contains("<i>"),
            "{html}"
        );
        assert!(
            html.contains("<h1>A &lt;b&gt;title") && html.contains("<table>"),
            "{html}"
        );
    }
}
