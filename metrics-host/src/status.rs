//! The page at `/`: what is served where, and what was counted, for a person with a browser.

use crate::{build_info, request_counts::RequestCounts};
use serde::Serialize;
use std::{fmt::Write, net::SocketAddr};

/// The addresses in use.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Addresses {
    /// The application, if it is hosted here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
    /// `/metrics` and this page.
    pub metrics: SocketAddr,
    /// The OTLP ingest.
    pub otlp: SocketAddr,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}\
    td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{background:#f3f3f3;padding:0 .2rem}";

/// Renders the page.
pub fn page(addresses: &Addresses, ready: bool, counts: &RequestCounts) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>metrics-host</title><style>{STYLE}</style>\
         <h1>metrics-host {}</h1><p>Revision {}, {}.</p><table>",
        build_info::VERSION,
        build_info::REVISION,
        if ready { "ready" } else { "not ready" },
    );
    let mut row = |name: &str, link: &str| {
        // Writing to a string cannot fail.
        _ = write!(page, "<tr><td>{name}<td><a href=\"{link}\">{link}</a>");
    };
    if let Some(api) = addresses.api {
        row("Application", &format!("http://{api}/"));
    }
    row("Metrics", &format!("http://{}/metrics", addresses.metrics));
    row("Health", &format!("http://{}/-/ready", addresses.metrics));
    _ = write!(
        page,
        "<tr><td>OTLP/HTTP ingest<td><code>http://{}</code></table><h2>Requests</h2>\
         <table><tr><th>Method<th>Endpoint<th>Status<th class=n>Count",
        addresses.otlp
    );
    for (labels, count) in counts.requests.iter().filter(|(_, count)| **count > 0) {
        _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td class=n>{count}",
            labels.method,
            escape(&labels.endpoint),
            labels.status
        );
    }
    page.push_str("</table><h2>Failures</h2><table>");
    _ = write!(
        page,
        "<tr><td>Internal exceptions<td class=n>{}",
        counts.errors
    );
    for (failure, count) in &counts.component_failures {
        _ = write!(
            page,
            "<tr><td>Component: {}<td class=n>{count}",
            failure.as_str()
        );
    }
    page.push_str("</table></html>");
    page
}

/// Endpoints come from components, which may come from anywhere.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_counts::{RequestLabels, Status};

    #[test]
    fn an_endpoint_cannot_inject_markup() {
        let mut counts = RequestCounts::default();
        let labels = RequestLabels {
            endpoint: "/<script>".into(),
            method: "GET",
            status: Status::Code(200),
        };
        counts.requests.insert(labels, 1);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let addresses = Addresses {
            api: None,
            metrics: address,
            otlp: address,
        };
        let page = page(&addresses, true, &counts);
        assert!(page.contains("/&lt;script&gt;") && !page.contains("<script"));
    }
}
