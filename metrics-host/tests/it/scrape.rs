//! Scrapes of `/metrics`, checked for what a scraper relies on.

use anyhow::{Result, ensure};
use std::{collections::BTreeMap, net::SocketAddr, ops::Deref, time::Duration};
use testkit::{
    counts::Counts,
    exposition::{Exposition, whole},
    wait::{Missed, Seen, Wait},
};

/// Time that work beside the answers may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Counters at rest for so long have settled: a component sends its batches within milliseconds.
const REST: Duration = Duration::from_millis(250);
/// Pause between two scrapes.
const PAUSE: Duration = Duration::from_millis(20);

/// A page on which every sample has a family with a type and a help text.
#[derive(Debug)]
pub(crate) struct Scrape(Exposition);

impl Scrape {
    pub(crate) async fn of(address: SocketAddr) -> Self {
        Self::try_of(address).await.unwrap()
    }

    async fn try_of(address: SocketAddr) -> Result<Self> {
        let reply = testkit::http::get(address, "/metrics").await?;
        ensure!(reply.status == 200, "{reply:?}");
        Self::parse(reply.text())
    }

    pub(crate) fn parse(page: &str) -> Result<Self> {
        Ok(Self(Exposition::parse(page)?.declared()?))
    }

    /// Scrapes until `enough`, for work that goes on beside the answers.
    pub(crate) async fn until(
        address: SocketAddr,
        what: &str,
        enough: impl Fn(&Self) -> bool,
    ) -> Self {
        let scrape = Self::within(DEADLINE, address, what, enough).await;
        scrape.unwrap_or_else(|missed| panic!("{missed}"))
    }

    /// Scrapes until `enough`, for at most `time`.
    pub(crate) async fn within(
        time: Duration,
        address: SocketAddr,
        what: &str,
        enough: impl Fn(&Self) -> bool,
    ) -> Result<Self, Missed> {
        let wait = Wait::up_to(time).every(PAUSE);
        let scrape = wait.until(what, async || {
            let scrape = Self::try_of(address).await?;
            let requests = format!("{:?}", scrape.requests());
            Ok(Seen::some(enough(&scrape).then_some(scrape), requests))
        });
        scrape.await
    }

    /// Scrapes until the requests do not change any more.
    pub(crate) async fn at_rest(address: SocketAddr) -> Self {
        let wait = Wait::up_to(DEADLINE).every(PAUSE);
        let rest = wait.rest("no more requests", REST, async || {
            Ok(Self::try_of(address).await?.requests())
        });
        rest.await.unwrap_or_else(|missed| panic!("{missed}"));
        Self::of(address).await
    }

    /// Returns `app_requests_total` without zeros.
    pub(crate) fn requests(&self) -> Counts {
        Counts::of(self)
    }

    /// Returns the number of requests in `app_requests_total`. It may be ahead of or behind the latency histogram
    /// while requests are being counted.
    pub(crate) fn counted(&self) -> u64 {
        self.requests().total()
    }

    /// Returns the number of requests, on which `app_requests_total` and the latency histogram must agree for each
    /// endpoint of each component.
    pub(crate) fn total(&self) -> u64 {
        self.assert_latency_agrees();
        self.counted()
    }

    /// Checks that the histogram has every request once, and in one bucket.
    fn assert_latency_agrees(&self) {
        let by_endpoint = |name: &str, only: Option<(&str, &str)>| {
            let mut counts = BTreeMap::<_, u64>::new();
            for (labels, count) in self.samples(name) {
                if only.is_none_or(|(label, value)| labels[label] == value) {
                    let place =
                        ["application", "component", "endpoint"].map(|name| labels[name].clone());
                    *counts.entry(place).or_default() += whole(count);
                }
            }
            counts
        };
        let requests = by_endpoint("app_requests_total", None);
        let histogram = "app_request_latency_seconds";
        let count = by_endpoint(&format!("{histogram}_count"), None);
        let buckets = by_endpoint(&format!("{histogram}_bucket"), Some(("le", "+Inf")));
        assert_eq!(count, requests);
        assert_eq!(buckets, requests);
    }
}

impl Deref for Scrape {
    type Target = Exposition;

    fn deref(&self) -> &Exposition {
        &self.0
    }
}
