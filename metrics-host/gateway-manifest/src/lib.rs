//! The lines of the gateway component in a `spin.toml`.
//!
//! [`add`] gives each public route of the application to the gateway, and makes the application's own trigger private,
//! so that Spin routes as before:
//!
//! ```toml
//! [[trigger.http]]
//! # replaced by metrics-host: route = "/api/..."
//! route = { private = true }
//! component = "api"
//!
//! # metrics-host: begin
//! # …
//! [[trigger.http]]
//! route = "/api/..."
//! component = "metrics-gateway"
//! # …
//! # metrics-host: end
//! ```
//!
//! The gateway's variable `triggers` says which component each route belongs to, as `/api/...=api /...=web`. Spin tells the
//! gateway the route of a request in `spin-raw-component-route`; the gateway sends it on to
//! `http://<component>.spin.internal`.
//!
//! The text is changed only where it must be, and the marks say what was there: [`remove`] gives back the same bytes.

#![forbid(unsafe_code)]

mod manifest;
#[cfg(test)]
mod tests;

pub use manifest::ManifestError;

use manifest::{Trigger, Variables, read};
use std::fmt::Write;

/// Id of the gateway component.
pub const COMPONENT: &str = "metrics-gateway";
/// Variable of the application with the sidecar's address.
pub const SIDECAR: &str = "metrics_sidecar";
/// The sidecar's address on the same machine.
const DEFAULT_SIDECAR: &str = "127.0.0.1:4318";
/// Begins the line above a changed one, which has the original line.
const WAS: &str = "# replaced by metrics-host: ";
const BEGIN: &str = "# metrics-host: begin";
const END: &str = "# metrics-host: end";
/// Replaces the route of a trigger.
const PRIVATE: &str = "route = { private = true }";

/// Where Spin finds the gateway component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, relative to the manifest or absolute.
    File(String),
    /// A download whose content has a digest.
    Url {
        /// The URL.
        url: String,
        /// `sha256:` and 64 hexadecimal digits.
        digest: String,
    },
}

/// Returns `manifest` with the gateway. `routes` is a routes file that names the application's endpoints. A manifest that
/// has the gateway already gets its lines anew, and keeps the sidecar's address, and the routes unless there are new ones.
///
/// # Errors
/// If the manifest is not understood, has nothing to count, or uses the gateway's names itself.
pub fn add(manifest: &str, source: &Source, routes: Option<&str>) -> Result<String, ManifestError> {
    let before = manifest::variables(manifest)?;
    let variables = Variables {
        routes: routes.map(str::to_owned).or(before.routes),
        ..before
    };
    let original = remove(manifest)?;
    let application = read(&original)?;
    let eol = if original.contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let mut changed = String::with_capacity(2 * original.len());
    let mut copied = 0;
    for Trigger { line, .. } in &application.triggers {
        let text = &original[line.clone()];
        let indentation = &text[..text.len() - text.trim_start().len()];
        changed.push_str(&original[copied..line.start]);
        for part in [
            indentation,
            WAS,
            text.trim_start(),
            eol,
            indentation,
            PRIVATE,
        ] {
            changed.push_str(part);
        }
        copied = line.end;
    }
    changed.push_str(&original[copied..]);
    let block = block(&application.name, &application.triggers, source, &variables);
    changed.push_str(&format!("\n{block}").replace('\n', eol));
    // The lines may not fit below inline tables, which cannot be continued.
    manifest::check(&changed)?;
    Ok(changed)
}

fn block(name: &str, triggers: &[Trigger], source: &Source, variables: &Variables) -> String {
    let sidecar = quoted(variables.sidecar.as_deref().unwrap_or(DEFAULT_SIDECAR));
    let mut block = format!(
        "{BEGIN}\n# The gateway counts every request. To take these lines out: metrics-host remove\n\
         [variables.{SIDECAR}]\ndefault = {sidecar}\n\n"
    );
    for Trigger { route, .. } in triggers {
        let route = quoted(route);
        _ = write!(
            block,
            "[[trigger.http]]\nroute = {route}\ncomponent = \"{COMPONENT}\"\n\n"
        );
    }
    let source = match source {
        Source::File(path) => quoted(path),
        Source::Url { url, digest } => {
            format!("{{ url = {}, digest = {} }}", quoted(url), quoted(digest))
        }
    };
    let by_route: Vec<_> = triggers
        .iter()
        .map(
            |Trigger {
                 route, component, ..
             }| format!("{route}={component}"),
        )
        .collect();
    _ = write!(
        block,
        "[component.{COMPONENT}]\nsource = {source}\n\
         allowed_outbound_hosts = [\"http://*.spin.internal\", \"http://{{{{ {SIDECAR} }}}}\"]\n\
         # Unsent telemetry waits there.\nkey_value_stores = [\"default\"]\n\n\
         [component.{COMPONENT}.variables]\nsidecar = \"{{{{ {SIDECAR} }}}}\"\napplication = {}\ntriggers = {}\n",
        quoted(name),
        quoted(&by_route.join(" "))
    );
    if let Some(routes) = &variables.routes {
        _ = writeln!(block, "routes = {}", lines(routes));
    }
    _ = writeln!(block, "{END}");
    block
}

/// Returns a text of several lines as a literal string, if it can be one.
fn lines(text: &str) -> String {
    match text.contains("'''") {
        true => quoted(text),
        false => format!("'''\n{text}'''"),
    }
}

/// Returns `text` as a basic string, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns `manifest` without the gateway: the text that [`add`] was given.
///
/// # Errors
/// If the lines of the gateway are not complete any more.
pub fn remove(manifest: &str) -> Result<String, ManifestError> {
    let mut restored = String::with_capacity(manifest.len());
    let mut lines = manifest.split_inclusive('\n').enumerate();
    while let Some((index, line)) = lines.next() {
        let incomplete = |expected: &'static str| ManifestError::Incomplete {
            line: index + 1,
            expected,
        };
        let content = line.trim_start();
        if content.trim_end() == BEGIN {
            if !lines.any(|(_, line)| line.trim() == END) {
                return Err(incomplete(END));
            }
            // `add` has put a line end before the block.
            let shorter = restored.strip_suffix('\n');
            let shorter = shorter.map(|text| text.strip_suffix('\r').unwrap_or(text));
            restored.truncate(shorter.map_or(restored.len(), str::len));
        } else if let Some(original) = content.strip_prefix(WAS) {
            let next = lines.next().map_or("", |(_, line)| line);
            if next.trim() != PRIVATE {
                return Err(incomplete(PRIVATE));
            }
            restored.push_str(&line[..line.len() - content.len()]);
            // The last line of a file may have no end.
            let end = original.trim_end_matches(['\r', '\n']);
            restored.push_str(end);
            restored.push_str(&next[next.trim_end_matches(['\r', '\n']).len()..]);
        } else {
            restored.push_str(line);
        }
    }
    Ok(restored)
}
