//! Links to the same chart in Prometheus and Grafana.

use super::{Links, view::View};
use crate::WebUrl;
use metric::{LATENCY, REQUESTS};

/// A link to a server beside this one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) name: &'static str,
    pub(super) url: String,
}

/// Links to the rate of requests.
pub(super) fn requests(links: &Links, view: &View) -> Vec<Neighbour> {
    let requests = rate(view, "");
    chart(links, view, 1, &requests)
}

/// Links to the ratio of errors.
pub(super) fn errors(links: &Links, view: &View) -> Vec<Neighbour> {
    let failed = rate(view, ",http_status=~\"5..\"");
    let requests = rate(view, "");
    chart(links, view, 2, &format!("{failed} / {requests}"))
}

/// Links to the 95th percentile of latency.
pub(super) fn latency(links: &Links, view: &View) -> Vec<Neighbour> {
    let (name, matchers) = (LATENCY.name, view.scope.matchers());
    let buckets = format!("sum by (instance, le) (rate({name}_bucket{{{matchers}}}[5m]))");
    chart(
        links,
        view,
        3,
        &format!("histogram_quantile(0.95, {buckets})"),
    )
}

/// Returns the rate of requests to each instance that Prometheus scrapes.
fn rate(view: &View, status: &str) -> String {
    let (name, matchers) = (REQUESTS.name, view.scope.matchers());
    format!("sum by (instance) (rate({name}{{{matchers}{status}}}[5m]))")
}

/// Links to a query in Prometheus, and to a panel of the dashboard `app-overview`.
fn chart(links: &Links, view: &View, panel: u32, query: &str) -> Vec<Neighbour> {
    let range = view.range.name();
    let mut neighbours = Vec::new();
    if let Some(prometheus) = &links.prometheus {
        let graph = [
            ("g0.expr", query),
            ("g0.tab", "0"),
            ("g0.range_input", range),
        ];
        neighbours.push(Neighbour {
            name: "Prometheus",
            url: within(prometheus, "/graph", &graph),
        });
    }
    if let Some(grafana) = &links.grafana {
        let (panel, from) = (panel.to_string(), format!("now-{range}"));
        let mut query = vec![("viewPanel", &*panel), ("from", &*from), ("to", "now")];
        let scope = &view.scope;
        for (variable, value) in [
            ("var-application", &scope.application),
            ("var-component", &scope.component),
            ("var-endpoint", &scope.endpoint),
        ] {
            query.extend(value.as_deref().map(|value| (variable, value)));
        }
        neighbours.push(Neighbour {
            name: "Grafana",
            url: within(grafana, "/d/app-overview", &query),
        });
    }
    neighbours
}

/// Returns the URL of a page of a server. A query of the server's own URL, such as `?orgId=1`, is kept.
fn within(server: &WebUrl, path: &str, query: &[(&str, &str)]) -> String {
    let server = server.to_string();
    let (base, own) = server.split_once('?').unwrap_or((&server, ""));
    let page = format!("{}{path}?", base.trim_end_matches('/'));
    let start = page.len();
    let mut url = form_urlencoded::Serializer::for_suffix(page + own, start);
    url.extend_pairs(query);
    url.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_selects_the_same_requests_and_range() {
        let links = Links {
            prometheus: "http://127.0.0.1:9090/prom/".parse().ok(),
            grafana: "https://grafana.example.com?orgId=1".parse().ok(),
            ..Links::default()
        };
        let view = View::parse("application=shop&range=1h");
        let found = errors(&links, &view);
        let urls: Vec<_> = found.iter().map(|neighbour| &*neighbour.url).collect();
        let matchers =
            "application%3D%22shop%22%2Cendpoint%21%7E%22%2F%28metrics%7Chealth%2F.*%29%22";
        let sum = "sum+by+%28instance%29+%28rate%28app_requests_total%7B";
        let prometheus = format!(
            "http://127.0.0.1:9090/prom/graph?g0.expr={sum}{matchers}%2Chttp_status%3D%7E%225..%22%7D%5B5m%5D%29%29\
             +%2F+{sum}{matchers}%7D%5B5m%5D%29%29&g0.tab=0&g0.range_input=1h"
        );
        let grafana = "https://grafana.example.com/d/app-overview?orgId=1&viewPanel=2&from=now-1h&to=now&var-application=shop";
        assert_eq!(urls, [&*prometheus, grafana]);
        assert_eq!(requests(&Links::default(), &view), []);
    }
}
