//! The `/metrics` page in the Prometheus text format 0.0.4 or in OpenMetrics 1.0: request counters, generic OTLP metrics,
//! and the host's metrics about itself.
//!
//! [`render`] turns [`Sources`] into a page: first the host's own metrics, then those of generic OTLP senders, each
//! sorted by name. Request counters are on disk before they are shown, so no scraped counter decreases after a power
//! loss. If the disk refuses the latest counts, the page shows the last ones on disk and
//! `metrics_host_state_sync_failures_total` increases.

mod families;
mod format;
mod open_metrics;
mod text;

pub use format::Format;

use edge_counts::EdgeCounts;
use flate2::{Compression, write::GzEncoder};
use journal::Journal;
use metric::{IntCounter, IntGauge, Registry};
use open_metrics::Beginning;
use prometheus::{Encoder, TextEncoder, proto::MetricFamily};
use request_counts::ApplicationCounts;
use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Write},
    sync::Arc,
    time::SystemTime,
};

/// The sources of the page.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Requests counted at the edge.
    pub counts: Arc<EdgeCounts>,
    /// Telemetry reported over OTLP.
    pub journal: Arc<Journal>,
    registry: Registry,
    metrics: ScrapeMetrics,
    beginning: Arc<Beginning>,
}

/// Metrics updated by a scrape.
#[derive(Clone, Debug)]
struct ScrapeMetrics {
    sync_failures: IntCounter,
    series: IntGauge,
    otlp_series: IntGauge,
    otlp_streams: IntGauge,
    senders: IntGauge,
    host_gap: IntGauge,
    journal_size: IntGauge,
}

impl ScrapeMetrics {
    fn register(registry: &Registry) -> Self {
        Self {
            sync_failures: registry.counter(metric::SYNC_FAILURES),
            series: registry.gauge(metric::SERIES),
            otlp_series: registry.gauge(metric::OTLP_SERIES),
            otlp_streams: registry.gauge(metric::OTLP_STREAMS),
            senders: registry.gauge(metric::SENDERS),
            host_gap: registry.gauge(metric::HOST_GAP),
            journal_size: registry.gauge(metric::JOURNAL_SIZE),
        }
    }
}

impl Sources {
    /// Combines `counts`, `journal` and `registry`; registers the metrics that a scrape updates. Their counts at this
    /// moment are from before this process.
    pub fn new(counts: Arc<EdgeCounts>, journal: Arc<Journal>, registry: &Registry) -> Self {
        let mut sources = Self {
            counts,
            journal,
            registry: registry.clone(),
            metrics: ScrapeMetrics::register(registry),
            beginning: Arc::default(),
        };
        let families = sources.families(&sources.latest_counts());
        sources.beginning = Arc::new(Beginning::new(SystemTime::now(), &families));
        sources
    }

    /// Returns the families of all metrics but those of generic OTLP senders, sorted by name.
    fn families(&self, counted: &Counted) -> Vec<MetricFamily> {
        let mut families = families::of_applications(counted);
        families.extend(families::of_requests(
            [metric::HOST_REQUESTS, metric::HOST_DURATION],
            &self.journal.state().host,
        ));
        families.extend(self.registry.snapshot().into_families());
        // The encoder refuses a family without series.
        families.retain(|family| !family.get_metric().is_empty());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        families
    }

    /// Returns the registry of the host's metrics about itself.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the requests of all applications, after syncing them to disk.
    pub fn request_counts(&self) -> Counted {
        let (counts, synced) = self.counts.durable_snapshot();
        if let Err(error) = synced {
            self.metrics.sync_failures.inc();
            tracing::error!(%error, "counters did not reach the disk; the page shows the last ones that did");
        }
        self.with_telemetry(counts)
    }

    /// Returns the same from memory, without the disk. A power loss can take the latest of them back.
    pub fn latest_counts(&self) -> Counted {
        self.with_telemetry(self.counts.latest())
    }

    /// Adds to the counts of the edge what components reported and, for applications that neither counts, what Spin's
    /// spans show. So no request is counted twice, also if the spans of an application came first.
    fn with_telemetry(&self, mut counts: ApplicationCounts) -> Counted {
        let state = self.journal.state();
        let mut ways = Vec::new();
        let mut add = |way, applications: BTreeSet<&str>| {
            let applications = applications.into_iter();
            ways.extend(applications.map(|name| (name.to_owned(), way)));
        };
        add(Way::Edge, counts.applications());
        add(Way::Components, state.reported.applications());
        counts.merge(&state.reported);
        let spans = state.host.applications().into_iter();
        add(
            Way::Spans,
            spans.filter(|name| !counts.covers(name)).collect(),
        );
        counts.merge_uncovered(&state.host);
        Counted { counts, ways }
    }
}

/// The requests of all applications, each counted in one way.
#[derive(Debug)]
pub struct Counted {
    /// The requests.
    pub counts: ApplicationCounts,
    /// The ways in which each application is counted.
    pub ways: Vec<(String, Way)>,
}

impl Counted {
    /// Returns whether the requests of `application` are counted in this way.
    pub fn is_by(&self, application: &str, way: Way) -> bool {
        let mut ways = self.ways.iter();
        ways.any(|(name, known)| name == application && *known == way)
    }
}

/// A way of counting: the values of the label `way`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The edge of this process: exact.
    Edge,
    /// Components that report their requests.
    Components,
    /// Spin's server spans: not exact.
    Spans,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Components, Self::Spans];

    /// Returns the value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Components => "components",
            Self::Spans => "spans",
        }
    }
}

/// Renders the page, after syncing the request counters to disk.
///
/// # Errors
/// Never in practice: the encoder writes to memory.
pub fn render(sources: &Sources, format: Format) -> io::Result<Vec<u8>> {
    let metrics = &sources.metrics;
    // Before the counts, which therefore have the request of each exemplar.
    let exemplars = match format {
        Format::OpenMetrics { .. } => sources.counts.exemplars(),
        Format::Text => HashMap::new(),
    };
    let counts = sources.request_counts();
    metrics.series.set(gauge(counts.counts.series()));
    let mut foreign = String::new();
    {
        let state = sources.journal.state();
        text::write_otlp(&mut foreign, &state.otlp, format);
        metrics.otlp_series.set(gauge(state.otlp.series()));
        metrics.otlp_streams.set(gauge(state.otlp.tracks()));
        metrics.senders.set(clamped(state.senders()));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let gap = state.host_gap(now.unwrap_or_default().as_secs());
        metrics.host_gap.set(clamped(gap));
    }
    metrics.journal_size.set(clamped(sources.journal.size()));
    let families = sources.families(&counts);
    if let Format::OpenMetrics { created } = format {
        let mut page = String::with_capacity(64 << 10);
        let beginning = created.then_some(&*sources.beginning);
        open_metrics::write(&mut page, &families, &exemplars, beginning);
        page += &foreign;
        page += "# EOF\n";
        return Ok(page.into_bytes());
    }
    let mut page = Vec::with_capacity(64 << 10);
    TextEncoder::new()
        .encode(&families, &mut page)
        .map_err(io::Error::other)?;
    page.extend_from_slice(foreign.as_bytes());
    Ok(page)
}

fn gauge(count: usize) -> i64 {
    clamped(count as u64)
}

fn clamped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Compresses `page`.
///
/// # Errors
/// Never in practice: the encoder writes to memory.
pub fn gzip(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

/// Returns whether an `Accept-Encoding` accepts gzip; `q=0` refuses it.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refused = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|quality| quality.parse() == Ok(0.0));
        coding.eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{CheckpointLimits, JournalLimits, JournalMetrics};
    use otlp::SeriesLimits;
    use request_counts::{Component, LabelSpace};
    use std::{path::Path, time::Duration};

    /// The sources of a process whose state is in `folder`.
    fn started(folder: &Path) -> (Sources, impl Fn(&str)) {
        let limits = JournalLimits {
            series: SeriesLimits {
                space: LabelSpace {
                    max_series: 100,
                    max_label_len: 100,
                },
                max_metrics: 10,
                max_series: 100,
            },
            max_senders: 10,
            checkpoint: CheckpointLimits::default(),
        };
        let registry = Registry::new();
        let metrics = JournalMetrics::register(&registry);
        let journal = Journal::open(&folder.join("journal.sqlite"), limits, metrics).unwrap();
        let shop = Component::new("shop", "web");
        let counts = Arc::new(EdgeCounts::open(&folder.join("counters"), &shop).unwrap());
        let web = counts.component(&shop);
        counts.declare(web, "GET", "/orders", 200);
        let sources = Sources::new(Arc::clone(&counts), Arc::new(journal), &registry);
        let count = move |endpoint: &str| {
            counts.record(web, "GET", endpoint, 200, Duration::from_millis(3), false);
        };
        (sources, count)
    }

    fn page(sources: &Sources, format: Format) -> String {
        String::from_utf8(render(sources, format).unwrap()).unwrap()
    }

    /// Returns the endpoints whose requests are said to have begun with the process.
    fn begun(page: &str) -> Vec<&str> {
        let lines = page.lines();
        let lines = lines.filter(|line| line.starts_with("app_requests_created{"));
        let endpoints = lines.map(|line| line.split('"').nth(7).unwrap_or_default());
        endpoints.filter(|endpoint| *endpoint != "other").collect()
    }

    #[test]
    fn a_series_began_with_the_process_that_first_counted_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let created = Format::OpenMetrics { created: true };
        {
            let (sources, count) = started(folder.path());
            count("/items");
            let page = page(&sources, created);
            assert_eq!(begun(&page), ["/items", "/orders"]);
        }
        let (sources, count) = started(folder.path());
        count("/items");
        count("/orders");
        let page = page(&sources, created);
        // Two requests of two processes.
        assert!(
            page.contains("endpoint=\"/items\",http_status=\"200\"} 2\n"),
            "{page}"
        );
        assert_eq!(begun(&page), ["/orders"]);
    }

    #[test]
    fn a_bucket_shows_the_trace_of_its_latest_request() {
        let folder = tempfile::tempdir().unwrap();
        let (sources, count) = started(folder.path());
        let web = sources.counts.component(&Component::new("shop", "web"));
        count("/items");
        for (parent, millis) in [(1, 3), (2, 4), (3, 20_000)] {
            let trace = format!("00-{parent:032x}-{parent:016x}-01");
            let trace = edge_counts::TraceId::sampled(&trace).unwrap();
            let duration = Duration::from_millis(millis);
            let counts = &sources.counts;
            counts.record(web, "GET", "/items", 200, duration, false);
            counts.record_exemplar(web, "/items", duration, trace);
        }
        let open = page(&sources, Format::OpenMetrics { created: false });
        let shown = open.lines().filter_map(|line| {
            let (sample, exemplar) = line.split_once(" # ")?;
            let (_, bound) = sample.split_once("endpoint=")?;
            let (exemplar, at) = exemplar.rsplit_once(' ')?;
            assert!(at.parse::<f64>().unwrap() > 1e9, "{line}");
            Some(format!("{bound} # {exemplar}"))
        });
        let trace = |parent| format!("{{trace_id=\"{parent:032x}\"}}");
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                format!("\"/items\",le=\"0.005\"}} 3 # {} 0.004", trace(2)),
                format!("\"/items\",le=\"+Inf\"}} 4 # {} 20", trace(3)),
            ]
        );
        let text = page(&sources, Format::Text);
        assert!(!text.contains("trace_id"), "{text}");
    }

    #[test]
    fn both_formats_have_the_same_samples() {
        let folder = tempfile::tempdir().unwrap();
        let (sources, count) = started(folder.path());
        count("/items");
        let open = page(&sources, Format::OpenMetrics { created: false });
        assert!(open.ends_with("\n# EOF\n"), "{open}");
        assert_eq!(open.matches("# EOF").count(), 1);
        let samples = |page: &str| {
            let lines = page.lines().filter(|line| !line.starts_with('#'));
            // Time passes between the two pages.
            let lines = lines.filter(|line| !line.starts_with("process_"));
            let bounds = [
                ("\"1\"", "\"1.0\""),
                ("\"5\"", "\"5.0\""),
                ("\"10\"", "\"10.0\""),
            ];
            let lines = lines.map(|line| {
                let bounds = bounds.iter();
                bounds.fold(line.to_owned(), |line, (text, open)| {
                    line.replace(&format!("le={text}"), &format!("le={open}"))
                })
            });
            lines.collect::<Vec<_>>()
        };
        assert_eq!(samples(&page(&sources, Format::Text)), samples(&open));
        assert!(open.contains("\n# TYPE app_requests counter\n"), "{open}");
    }

    #[test]
    fn gzip_is_used_only_if_the_client_accepts_it() {
        for accepted in ["gzip", "deflate, GZIP;q=0.5", "br;q=1.0, gzip"] {
            assert!(accepts_gzip(accepted), "{accepted}");
        }
        for refused in ["", "identity", "gzip;q=0", "br, gzip; q=0.000"] {
            assert!(!accepts_gzip(refused), "{refused}");
        }
    }
}
