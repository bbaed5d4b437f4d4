//! The Prometheus text format, read back.

use crate::client;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// A sample's labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// Method, endpoint and status of `app_requests_total`.
pub(crate) type RequestCounts = BTreeMap<(String, String, String), u64>;

/// One scrape.
#[derive(Debug)]
pub(crate) struct Exposition {
    samples: Vec<(String, Labels, f64)>,
    pub(crate) types: BTreeMap<String, String>,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Self {
        let mut samples = Vec::new();
        let mut types = BTreeMap::new();
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap();
                assert!(
                    types.insert(name.to_owned(), kind.to_owned()).is_none(),
                    "{name} is declared twice"
                );
            } else if !line.starts_with('#') && !line.is_empty() {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                samples.push((
                    name.to_owned(),
                    parse_labels(labels),
                    value.parse().unwrap(),
                ));
            }
        }
        Self { samples, types }
    }

    pub(crate) async fn scrape(address: SocketAddr) -> Self {
        let reply = client::get(address, "GET /metrics").await;
        assert_eq!(reply.status, 200);
        Self::parse(reply.text())
    }

    /// Scrapes until `enough`, for what happens beside the answers.
    pub(crate) async fn scrape_until(
        address: SocketAddr,
        what: &str,
        enough: impl Fn(&Self) -> bool,
    ) -> Self {
        let scraping = async {
            loop {
                let scrape = Self::scrape(address).await;
                if enough(&scrape) {
                    return scrape;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), scraping).await {
            Ok(scrape) => scrape,
            Err(_) => panic!(
                "{what} did not happen: {:?}",
                Self::scrape(address).await.requests()
            ),
        }
    }

    /// Adds up the samples of `name` whose labels include `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |of: &Labels| {
            labels
                .iter()
                .all(|(label, value)| of.get(*label).is_some_and(|v| v == value))
        };
        let matching = self
            .samples
            .iter()
            .filter(|(sample, of, _)| sample == name && fits(of));
        matching.map(|(.., value)| value).sum()
    }

    /// Returns whether there is a sample of `name` with exactly these labels.
    pub(crate) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Labels = labels
            .iter()
            .map(|(label, value)| ((*label).into(), (*value).into()))
            .collect();
        self.samples
            .iter()
            .any(|(sample, of, _)| sample == name && *of == labels)
    }

    /// Returns `app_requests_total` without what is 0.
    pub(crate) fn requests(&self) -> RequestCounts {
        self.samples
            .iter()
            .filter(|(name, _, count)| name == "app_requests_total" && *count > 0.0)
            .map(|(_, labels, count)| {
                let label = |name: &str| labels[name].clone();
                (
                    (label("method"), label("endpoint"), label("http_status")),
                    *count as u64,
                )
            })
            .collect()
    }

    /// Returns the number of requests as `app_requests_total` has it, which may be ahead of or behind the latency
    /// histogram while requests are being counted.
    pub(crate) fn counted(&self) -> u64 {
        self.requests().values().sum()
    }

    /// Returns the number of requests, as `app_requests_total` and as the latency histogram have it; both must
    /// agree for each endpoint.
    pub(crate) fn total(&self) -> u64 {
        let mut by_endpoint = BTreeMap::<_, u64>::new();
        for ((_, endpoint, _), count) in self.requests() {
            *by_endpoint.entry(endpoint).or_default() += count;
        }
        for (endpoint, count) in &by_endpoint {
            let latency = self.sum(
                "app_request_latency_seconds_count",
                &[("endpoint", endpoint)],
            );
            assert_eq!(latency as u64, *count, "latency of {endpoint}");
        }
        by_endpoint.values().sum()
    }
}

fn parse_labels(text: &str) -> Labels {
    let pairs = text
        .trim_end_matches('}')
        .split("\",")
        .filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once("=\"").unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    pairs.map(pair).collect()
}
