//! Walks one hot path some number of times, for `bench/src/bin/instructions` to count its instructions.
//!
//! `hot_paths PATH TIMES`. Preparations do not depend on TIMES, so they cancel out of a difference.

use edge_counts::EdgeCounts;
use exposition::Sources;
use journal::{Batch, Change, Journal, JournalLimits, JournalMetrics, Receipt};
use metric::{Kind, Registry};
use otlp::{Amount, Family, Point, PointValue, SeriesLimits, Stream, Uncounted};
use request_counts::{Component, LabelSpace};
use std::{
    env,
    hint::black_box,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};
use telemetry::{
    BatchKey, Delta, Observation, Resource, Route, RouteCatalogue, Series, emitter::Emitter,
};

// As in the binary, and one thing less that differs from machine to machine.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most frequent responses of components.
const ANSWERS: [(&str, &str, u16); 4] = [
    ("GET", "/", 200),
    ("GET", "/items", 200),
    ("POST", "/items", 201),
    ("GET", "/items/{id}", 404),
];
/// Routes and statuses of a large batch; together they are its 1 000 series.
const ROUTES: usize = 125;
const STATUSES: [u16; 8] = [200, 201, 204, 400, 404, 405, 500, 503];
/// Metrics of the large page and series of each; together 10 000.
const METRICS: usize = 10;
const SERIES: usize = 1000;

const LIMITS: JournalLimits = JournalLimits {
    series: SeriesLimits {
        space: LabelSpace {
            max_series: 2000,
            max_label_len: 200,
        },
        max_metrics: 1000,
    },
    max_senders: 1000,
};

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let [path, times] = &args[..] else {
        return usage();
    };
    let Ok(times) = times.parse() else {
        return usage();
    };
    let scratch = tempfile::tempdir().expect("a directory for what a path writes");
    match &**path {
        "record-edge" => record_edge(scratch.path(), times),
        "record-emitter" => record_emitter(times),
        "encode-batch" => encode_batch(times),
        "decode-batch" => decode_batch(times),
        "apply-batch" => apply_batch(scratch.path(), times),
        "apply-single" => apply_single(scratch.path(), times),
        "expose-10000" => expose(scratch.path(), times),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("hot_paths: expected a path that `main` names, and how many times");
    ExitCode::from(2)
}

/// A request is counted at the host's edge.
fn record_edge(scratch: &Path, times: u64) {
    let counts = EdgeCounts::open(&scratch.join("counters"), &component()).expect("a new file");
    let id = counts.component(&component());
    for (method, endpoint, status) in ANSWERS {
        counts.declare(id, method, endpoint, status);
    }
    for (index, (method, endpoint, status)) in (0..times).zip(ANSWERS.into_iter().cycle()) {
        let duration = duration(index);
        counts.record(id, method, endpoint, black_box(status), duration, false);
    }
    black_box(counts.latest());
}

/// A request is counted in a component under Spin.
fn record_emitter(times: u64) {
    let routes = ANSWERS.map(|(method, route, status)| Route {
        method: method.into(),
        route: route.into(),
        status,
    });
    let catalogue = RouteCatalogue {
        routes: routes.into(),
    };
    let mut emitter = Emitter::new(resource(), &catalogue, 0);
    for (index, (method, route, status)) in (0..times).zip(ANSWERS.into_iter().cycle()) {
        emitter.record(Observation {
            series: Series::new(method, route, black_box(status), None),
            duration: duration(index),
        });
    }
    black_box(emitter);
}

/// A batch of 1 000 series is written.
fn encode_batch(times: u64) {
    let delta = thousand();
    for time in 0..times {
        black_box(telemetry::otlp::encode(&resource(), &delta, time, time));
    }
}

/// It is read.
fn decode_batch(times: u64) {
    let body = telemetry::otlp::encode(&resource(), &thousand(), 0, 0);
    for _ in 0..times {
        black_box(telemetry::otlp::decode(black_box(&body))).expect("it was just written");
    }
}

/// It is folded into what is known, and committed.
fn apply_batch(scratch: &Path, times: u64) {
    let delta = thousand();
    commit_batches(scratch, &delta, times);
}

/// The same with a batch of one request.
fn apply_single(scratch: &Path, times: u64) {
    let mut delta = Delta::default();
    delta.record(Observation {
        series: Series::new("GET", "/items", 200, None),
        duration: duration(0),
    });
    commit_batches(scratch, &delta, times);
}

fn commit_batches(scratch: &Path, delta: &Delta, times: u64) {
    let journal = journal(scratch, &Registry::new());
    // One at a time, or chance decides how many share a transaction. The first makes the series exist.
    for sequence in 1..=times + 1 {
        let key = BatchKey {
            instance: resource().instance,
            sequence,
        };
        let change = Change {
            batch: Some(Batch {
                key,
                body: [0; 32],
                end_unix_nanos: unix_nanos(),
            }),
            component: component(),
            requests: delta.clone(),
            ..Change::default()
        };
        commit(&journal, change);
    }
}

/// A page of 10 000 series is written.
fn expose(scratch: &Path, times: u64) {
    let registry = Registry::new();
    let counts = EdgeCounts::open(&scratch.join("counters"), &component()).expect("a new file");
    let journal = Arc::new(journal(scratch, &registry));
    let sources = Sources::new(Arc::new(counts), journal, &registry);
    for metric in 0..METRICS {
        let family = Arc::new(Family {
            name: format!("filled_{metric}_total"),
            kind: Kind::Counter,
            help: "Fills the page.".into(),
            origin: 1,
        });
        let point = |index| Point {
            family: Arc::clone(&family),
            labels: vec![
                ("http_request_method".into(), "GET".into()),
                ("http_route".into(), format!("/filled/{index}/{{id}}")),
            ],
            stream: Stream {
                id: (index as u128).to_le_bytes(),
                legacy_id: [0; 16],
            },
            start_unix_nanos: 0,
            time_unix_nanos: unix_nanos(),
            value: PointValue::More(Amount::Number(index as f64)),
        };
        let points = (0..SERIES).map(point).collect();
        let change = Change {
            points,
            ..Change::default()
        };
        commit(&sources.journal, change);
    }
    for _ in 0..times {
        black_box(exposition::render(&sources)).expect("it is written to memory");
    }
}

fn journal(scratch: &Path, registry: &Registry) -> Journal {
    let path = scratch.join("journal.sqlite");
    Journal::open(&path, LIMITS, JournalMetrics::register(registry)).expect("a new file")
}

fn commit(journal: &Journal, change: Change) {
    let counted = Receipt::Counted {
        missing: 0,
        uncounted: Uncounted::new(),
    };
    let receipt = futures::executor::block_on(journal.commit(change));
    assert_eq!(receipt, Ok(counted), "everything has its place");
}

fn thousand() -> Delta {
    let mut delta = Delta::default();
    for route in 0..ROUTES {
        for status in STATUSES {
            delta.record(Observation {
                series: Series::new("GET", &format!("/bench/{route}/{{id}}"), status, None),
                duration: duration(route as u64),
            });
        }
    }
    delta
}

/// Durations that reach most of the buckets.
fn duration(index: u64) -> Duration {
    Duration::from_micros(100 << (index % 16))
}

fn component() -> Component {
    Component::new("items", "items")
}

fn resource() -> Resource {
    Resource {
        service_name: "items".into(),
        service_version: "0".into(),
        component: "items".into(),
        instance: "an-instance-of-32-characters----".into(),
    }
}

fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}
