//! Start-up and shutdown that wait for scrapes of `/metrics`.
//!
//! A scraper sends [`SCRAPE_TIMEOUT`]; a browser and curl do not. Scrapers are told apart by address and user agent.

use http::{HeaderValue, Method, Request, header};
use http_server::listener::ClientAddress;
use metric::{IntCounterVec, IntGauge, Registry};
use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Field that Prometheus sends with each scrape. Grafana Alloy and the OpenTelemetry Collector scrape with its code, and
/// vmagent sends the field for the same purpose.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// A wait for scrapes: the values of the label `gate`.
#[derive(Clone, Copy, Debug)]
pub enum Gate {
    /// Readiness waits, so that Prometheus has a 0 before the first increment.
    Ready,
    /// The end of the process waits, so that Prometheus has the last counts.
    Linger,
}

impl Gate {
    /// All gates.
    pub const ALL: [Self; 2] = [Self::Ready, Self::Linger];

    /// Returns the value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Linger => "linger",
        }
    }
}

/// Waits for scrapes. Clones see the same ones.
#[derive(Clone, Debug)]
pub struct ScrapeGates {
    wait: Arc<watch::Sender<Wait>>,
    scrapers: usize,
    timeouts: IntCounterVec,
    counts_final: IntGauge,
}

/// The latest wait. It remembers no more scrapers than it needs.
#[derive(Debug, Default)]
struct Wait {
    number: u64,
    missing: usize,
    seen: HashSet<Scraper>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scraper {
    address: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
}

/// A scrape that has begun and that a gate waits for.
#[derive(Debug)]
pub(crate) struct Scrape {
    wait: u64,
    scraper: Scraper,
}

impl ScrapeGates {
    /// Makes gates that wait for `scrapers` different scrapers, and registers their metrics at 0.
    pub fn register(scrapers: usize, registry: &Registry) -> Self {
        let timeouts = registry.counter_vec(metric::SCRAPE_GATE_TIMEOUTS);
        for gate in Gate::ALL {
            timeouts.with_label_values(&[gate.as_str()]);
        }
        Self {
            wait: Arc::default(),
            scrapers,
            timeouts,
            counts_final: registry.gauge(metric::COUNTS_FINAL),
        }
    }

    /// Waits until every scraper has a page that it asked for after this call, but no longer than `within`.
    pub async fn pass(&self, gate: Gate, within: Duration) {
        let (name, scrapers) = (gate.as_str(), self.scrapers);
        if matches!(gate, Gate::Linger) {
            self.counts_final.set(1);
        }
        let mut wait = self.wait.subscribe();
        self.wait.send_modify(|wait| {
            wait.number += 1;
            wait.missing = scrapers;
            wait.seen.clear();
        });
        tracing::info!(gate = name, scrapers, "waiting for a scrape");
        if timeout(within, wait.wait_for(|wait| wait.missing == 0))
            .await
            .is_ok()
        {
            tracing::info!(gate = name, "scraped");
            return;
        }
        self.timeouts.with_label_values(&[name]).inc();
        tracing::warn!(
            gate = name,
            missing = self.wait.borrow().missing,
            "not scraped in time: {}",
            match gate {
                Gate::Ready =>
                    "ready all the same; Prometheus may miss what is counted before its first scrape",
                Gate::Linger => "ending all the same; Prometheus may miss the last counts",
            }
        );
    }

    /// Returns the scrape that `request` begins, if a gate waits for one.
    pub(crate) fn begin<B>(&self, request: &Request<B>) -> Option<Scrape> {
        let is_scrape =
            request.method() == Method::GET && request.headers().contains_key(SCRAPE_TIMEOUT);
        let wait = self.wait.borrow();
        (is_scrape && wait.missing > 0).then(|| Scrape {
            wait: wait.number,
            scraper: Scraper {
                address: request
                    .extensions()
                    .get()
                    .map(|ClientAddress(client)| client.ip()),
                user_agent: request.headers().get(header::USER_AGENT).cloned(),
            },
        })
    }

    /// Takes note of a scrape that is being answered. One that began before the current wait shows earlier counts.
    pub(crate) fn answered(&self, scrape: Scrape) {
        self.wait.send_if_modified(|wait| {
            let counts =
                scrape.wait == wait.number && wait.missing > 0 && wait.seen.insert(scrape.scraper);
            wait.missing -= usize::from(counts);
            counts
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, net::SocketAddr, pin::pin, task::Poll};

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn gates(scrapers: usize) -> (ScrapeGates, Registry) {
        let registry = Registry::new();
        (ScrapeGates::register(scrapers, &registry), registry)
    }

    fn request(address: &str, user_agent: &'static str) -> Request<()> {
        let mut request = Request::new(());
        let headers = request.headers_mut();
        headers.insert(SCRAPE_TIMEOUT, HeaderValue::from_static("10"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
        let client: SocketAddr = format!("{address}:4000").parse().unwrap();
        request.extensions_mut().insert(ClientAddress(client));
        request
    }

    fn scrape(gates: &ScrapeGates, address: &str, user_agent: &'static str) {
        let scrape = gates.begin(&request(address, user_agent)).unwrap();
        gates.answered(scrape);
    }

    /// Polls once, and returns whether it is over.
    async fn is_over(mut future: std::pin::Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn a_gate_waits_for_each_of_its_scrapers() {
        let (gates, registry) = gates(2);
        let mut pass = pin!(gates.pass(Gate::Ready, LONG));
        assert!(!is_over(pass.as_mut()).await);
        for _ in 0..3 {
            scrape(&gates, "10.0.0.1", "Prometheus/3.5.0");
        }
        assert!(!is_over(pass.as_mut()).await);
        scrape(&gates, "10.0.0.2", "Prometheus/3.5.0");
        assert!(is_over(pass.as_mut()).await);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.count(metric::SCRAPE_GATE_TIMEOUTS), 0);
        assert_eq!(snapshot.count(metric::COUNTS_FINAL), 0);
    }

    #[tokio::test]
    async fn scrapers_at_one_address_differ_in_their_user_agent() {
        let (gates, _) = gates(2);
        let mut pass = pin!(gates.pass(Gate::Ready, LONG));
        assert!(!is_over(pass.as_mut()).await);
        scrape(&gates, "10.0.0.1", "Prometheus/3.5.0");
        scrape(&gates, "10.0.0.1", "vm_promscrape");
        assert!(is_over(pass.as_mut()).await);
    }

    #[tokio::test]
    async fn a_scrape_that_began_earlier_does_not_count() {
        let (gates, registry) = gates(1);
        let mut ready = pin!(gates.pass(Gate::Ready, LONG));
        assert!(!is_over(ready.as_mut()).await);
        let early = gates.begin(&request("10.0.0.1", "Prometheus/3.5.0"));
        let mut linger = pin!(gates.pass(Gate::Linger, LONG));
        assert!(!is_over(linger.as_mut()).await);
        gates.answered(early.unwrap());
        assert!(!is_over(linger.as_mut()).await);
        scrape(&gates, "10.0.0.1", "Prometheus/3.5.0");
        assert!(is_over(linger.as_mut()).await);
        assert_eq!(registry.snapshot().count(metric::COUNTS_FINAL), 1);
    }

    #[tokio::test]
    async fn a_gate_ends_by_its_time_out() {
        let (gates, registry) = gates(1);
        let mut curl = request("10.0.0.1", "curl/8.14.1");
        curl.headers_mut().remove(SCRAPE_TIMEOUT);
        let mut pass = pin!(gates.pass(Gate::Ready, SOON));
        assert!(!is_over(pass.as_mut()).await);
        assert!(gates.begin(&curl).is_none());
        pass.await;
        let timeouts = registry.snapshot().count(metric::SCRAPE_GATE_TIMEOUTS);
        assert_eq!(timeouts, 1);
    }

    #[test]
    fn nothing_is_remembered_while_no_gate_waits() {
        let (gates, _) = gates(1);
        let request = request("10.0.0.1", "Prometheus/3.5.0");
        assert!(gates.begin(&request).is_none());
    }
}
