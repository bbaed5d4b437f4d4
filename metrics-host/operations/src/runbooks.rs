//! Pages for the runbooks that alerts link to. The build embeds `alerts/runbooks/*.md`.

use crate::{Build, html};
use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Name, severity and text of each runbook, sorted by name.
const RUNBOOKS: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/runbooks.rs"));

#[derive(Template)]
#[template(path = "runbooks.html")]
struct Index<'a> {
    build: Build,
    runbooks: Vec<Entry>,
    /// Requested name, if no such runbook exists.
    missing: Option<&'a str>,
}

/// A runbook in the list.
struct Entry {
    name: &'static str,
    severity: &'static str,
    /// First sentence of its meaning.
    summary: String,
}

#[derive(Template)]
#[template(path = "runbook.html")]
struct Page<'a> {
    build: Build,
    name: &'a str,
    severity: &'static str,
    /// Rendered HTML.
    text: String,
}

/// Returns whether the alert `name` has a runbook.
pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// Returns the list of all runbooks.
pub(crate) fn index(build: Build) -> Response<Full<Bytes>> {
    list(StatusCode::OK, None, build)
}

/// Returns the runbook of the alert `name`, or the list with status 404.
pub(crate) fn page(name: &str, build: Build) -> Response<Full<Bytes>> {
    match find(name) {
        Some((severity, markdown)) => html::page(
            StatusCode::OK,
            &Page {
                build,
                name,
                severity,
                text: render(markdown),
            },
        ),
        None => list(StatusCode::NOT_FOUND, Some(name), build),
    }
}

fn list(status: StatusCode, missing: Option<&str>, build: Build) -> Response<Full<Bytes>> {
    html::page(
        status,
        &Index {
            build,
            runbooks: entries(),
            missing,
        },
    )
}

/// Returns all runbooks, the most severe first.
fn entries() -> Vec<Entry> {
    let mut entries: Vec<_> = RUNBOOKS
        .iter()
        .map(|&(name, severity, markdown)| Entry {
            name,
            severity,
            summary: summary(markdown),
        })
        .collect();
    let order = ["critical", "warning", "none"];
    entries.sort_by_key(|entry| {
        let mut order = order.iter();
        order.position(|severity| entry.severity.starts_with(severity))
    });
    entries
}

/// Returns severity and text of the runbook of the alert `name`.
fn find(name: &str) -> Option<(&'static str, &'static str)> {
    let found = RUNBOOKS.iter().find(|(known, ..)| *known == name);
    found.map(|(_, severity, text)| (*severity, *text))
}

/// Returns the first sentence below the first heading of second level, without the paragraph on who the alert is for.
fn summary(markdown: &str) -> String {
    let mut is_below = false;
    let mut paragraph = String::new();
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::Heading {
                level: HeadingLevel::H2,
                ..
            }) if is_below => break,
            Event::End(TagEnd::Heading(HeadingLevel::H2)) => is_below = true,
            Event::Start(Tag::Paragraph) => paragraph.clear(),
            Event::Text(text) | Event::Code(text) if is_below => paragraph.push_str(&text),
            Event::SoftBreak => paragraph.push(' '),
            Event::End(TagEnd::Paragraph) if is_below && !paragraph.starts_with("Speaks for") => {
                break;
            }
            _ => {}
        }
    }
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    paragraph[..end].trim_end_matches('.').to_owned() + "."
}

/// Renders Markdown as HTML. HTML inside the Markdown is shown as text.
fn render(markdown: &str) -> String {
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        other => other,
    });
    let mut html = String::with_capacity(2 * markdown.len());
    pulldown_cmark::html::push_html(&mut html, events);
    // A wide table scrolls, also by keyboard.
    html.replace("<table>", "<div class=\"scroll\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>")
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

    #[test]
    fn the_list_has_a_severity_and_a_sentence_for_each_alert() {
        let entries = entries();
        for entry in &entries {
            let Entry {
                name,
                severity,
                summary,
            } = entry;
            assert!(!severity.is_empty(), "{name}");
            assert!(
                summary.len() > 20 && !summary.contains("Speaks"),
                "{name}: {summary}"
            );
        }
        let severities: Vec<_> = entries.iter().map(|entry| entry.severity).collect();
        assert!(severities[0].starts_with("critical"), "{severities:?}");
        assert_eq!(severities.last(), Some(&"none"), "{severities:?}");
        let text = "# A\n\n## Meaning\n\nSpeaks for: all. Yes.\n\nIt `is`\nso. Or not.\n\n## Impact\n\nB.\n";
        assert_eq!(summary(text), "It is so.");
    }
}
