//! The Prometheus text format, read back and checked for what a scraper relies on.

use crate::client;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// A sample's labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// Method, endpoint and status of `app_requests_total`.
pub(crate) type RequestCounts = BTreeMap<(String, String, String), u64>;

/// How long what runs beside the answers may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Counters that stand still for so long have come to rest: a component sends its batches within milliseconds.
const REST: Duration = Duration::from_millis(250);

/// One scrape.
#[derive(Debug)]
pub(crate) struct Exposition {
    samples: BTreeMap<(String, Labels), f64>,
    pub(crate) types: BTreeMap<String, String>,
}

impl Exposition {
    /// Reads a page on which every sample is there once, under a family with a type and a help text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        let mut types = BTreeMap::new();
        let mut helps = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap();
                let earlier = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(earlier, None, "{name} is declared twice");
            } else if let Some(declared) = line.strip_prefix("# HELP ") {
                let (name, help) = declared.split_once(' ').unwrap();
                assert!(!help.is_empty() && helps.insert(name), "help of {name}");
            } else {
                let (name, labels, value) = parse_sample(line);
                let family = family_of(&name, &types);
                assert!(helps.contains(family), "{line} has no help");
                let earlier = samples.insert((name, labels), value);
                assert_eq!(earlier, None, "{line} is there twice");
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
        match Self::scrape_for(DEADLINE, address, enough).await {
            Some(scrape) => scrape,
            None => panic!(
                "{what} did not happen: {:?}",
                Self::scrape(address).await.requests()
            ),
        }
    }

    /// Scrapes until `enough`, or in vain for `time`.
    pub(crate) async fn scrape_for(
        time: Duration,
        address: SocketAddr,
        enough: impl Fn(&Self) -> bool,
    ) -> Option<Self> {
        let scraping = async {
            loop {
                let scrape = Self::scrape(address).await;
                if enough(&scrape) {
                    return scrape;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(time, scraping).await.ok()
    }

    /// Scrapes until the requests stay as they are. That nothing more comes is no event that could be awaited.
    pub(crate) async fn at_rest(address: SocketAddr) -> Self {
        let resting = async {
            let mut earlier = Self::scrape(address).await;
            loop {
                tokio::time::sleep(REST).await;
                let later = Self::scrape(address).await;
                if later.requests() == earlier.requests() {
                    return later;
                }
                earlier = later;
            }
        };
        tokio::time::timeout(DEADLINE, resting)
            .await
            .expect("somebody else sends requests")
    }

    /// Adds up the samples of `name` whose labels include `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |of: &Labels| {
            labels
                .iter()
                .all(|(label, value)| of.get(*label).is_some_and(|v| v == value))
        };
        self.samples_of(name)
            .filter(|(of, _)| fits(of))
            .map(|(_, value)| value)
            .sum()
    }

    /// Returns the number of samples of `name`.
    pub(crate) fn series(&self, name: &str) -> usize {
        self.samples_of(name).count()
    }

    /// Returns whether there is a sample of `name` with exactly these labels.
    pub(crate) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(label, value)| ((*label).into(), (*value).into()));
        self.samples
            .contains_key(&(name.to_owned(), labels.collect()))
    }

    /// Returns `app_requests_total` without what is 0.
    pub(crate) fn requests(&self) -> RequestCounts {
        self.samples_of("app_requests_total")
            .filter(|(_, count)| *count != 0.0)
            .map(|(labels, count)| {
                let label = |name: &str| labels[name].clone();
                let series = (label("method"), label("endpoint"), label("http_status"));
                (series, whole(count))
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
        self.assert_latency_agrees();
        self.counted()
    }

    /// Checks that the histogram has every request once, and in one bucket.
    fn assert_latency_agrees(&self) {
        let mut expected = BTreeMap::new();
        for (labels, count) in self.samples_of("app_requests_total") {
            *expected.entry(labels["endpoint"].clone()).or_default() += whole(count);
        }
        let by_endpoint = |name: &str, only: &[(&str, &str)]| -> BTreeMap<String, u64> {
            self.samples_of(name)
                .filter(|(labels, _)| only.iter().all(|(label, value)| labels[*label] == *value))
                .map(|(labels, count)| (labels["endpoint"].clone(), whole(count)))
                .collect()
        };
        let name = "app_request_latency_seconds";
        assert_eq!(by_endpoint(&format!("{name}_count"), &[]), expected);
        let all = [("le", "+Inf")];
        assert_eq!(by_endpoint(&format!("{name}_bucket"), &all), expected);
    }

    fn samples_of(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.samples
            .iter()
            .filter(move |((sample, _), _)| sample == name)
            .map(|((_, labels), value)| (labels, *value))
    }
}

/// Returns what `after` has more than `before`; a count that stepped back is no gain but an error.
pub(crate) fn gain(before: &RequestCounts, after: &RequestCounts) -> RequestCounts {
    for (series, count) in before {
        let now = after.get(series).unwrap_or(&0);
        assert!(
            now >= count,
            "{series:?} stepped back from {count} to {now}"
        );
    }
    let gained = after.iter().map(|(series, count)| {
        let gain = count - before.get(series).unwrap_or(&0);
        (series.clone(), gain)
    });
    gained.filter(|(_, gain)| *gain > 0).collect()
}

/// Takes a count as the number of events that it is.
pub(crate) fn whole(count: f64) -> u64 {
    assert!(
        count >= 0.0 && count.fract() == 0.0,
        "{count} is no number of events"
    );
    count as u64
}

/// Returns the name of the family that declares the sample `name`.
fn family_of<'a>(name: &'a str, types: &BTreeMap<String, String>) -> &'a str {
    let histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|part| name.strip_suffix(part))
        .filter(|family| types.get(*family).is_some_and(|kind| kind == "histogram"));
    let family = histogram.unwrap_or(name);
    assert!(types.contains_key(family), "{name} has no type");
    family
}

fn parse_sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"").unwrap();
            let (value, after) = parse_quoted(quoted);
            let earlier = labels.insert(label.to_owned(), value);
            assert_eq!(earlier, None, "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    (name.to_owned(), labels, rest.trim().parse().unwrap())
}

/// Reads a label's value up to its closing quote; returns it and what follows the quote.
fn parse_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &text[index + 1..]),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                escaped => value.push(escaped.unwrap()),
            },
            _ => value.push(character),
        }
    }
    panic!("no closing quote: {text}")
}

#[test]
fn a_sample_is_read_with_what_its_labels_escape() {
    let (name, labels, value) = parse_sample(r#"a{b="/items/{id}",c="\"x\",\\\n}"} 2.5"#);
    assert_eq!((&*name, value), ("a", 2.5));
    assert_eq!(labels["b"], "/items/{id}");
    assert_eq!(labels["c"], "\"x\",\\\n}");
    assert_eq!(parse_sample("a 1").1, Labels::new());
}
