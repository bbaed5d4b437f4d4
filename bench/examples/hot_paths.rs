//! Walks one hot path some number of times, for `bench/src/bin/instructions` to count its instructions.
//!
//! `hot_paths PATH TIMES`. Preparations do not depend on TIMES, so they cancel out of a difference.

use bench::payload::sums;
use edge_counts::EdgeCounts;
use exposition::{Format, Sources};
use journal::{Batch, Change, CheckpointLimits, Journal, JournalLimits, JournalMetrics, Receipt};
use metric::{Kind, Registry};
use otlp::{
    Amount, Encoding, Family, Identities, Identity, Point, PointValue, SeriesLimits, Stream,
    Uncounted,
};
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
        max_series: 100_000,
    },
    max_senders: 1000,
    checkpoint: NEVER,
};

/// A clock would make a count differ from run to run.
const NEVER: CheckpointLimits = CheckpointLimits {
    interval: Duration::MAX,
    max_log: u64::MAX,
};
const ALWAYS: CheckpointLimits = CheckpointLimits {
    interval: Duration::MAX,
    max_log: 0,
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
        "recognise-1000" => recognise(times),
        "append-1000" => append(scratch.path(), NEVER, times),
        "checkpoint-1000" => append(scratch.path(), ALWAYS, times),
        "replay-1000" => replay(scratch.path(), times),
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
    let journal = journal(scratch, LIMITS, &Registry::new());
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
    let journal = Arc::new(journal(scratch, LIMITS, &registry));
    let sources = Sources::new(Arc::new(counts), journal, &registry);
    for metric in 0..METRICS {
        let family = Arc::new(Family {
            name: format!("filled_{metric}_total"),
            kind: Kind::Counter,
            help: "Fills the page.".into(),
            origin: 1,
        });
        let point = |index| {
            let labels = [
                ("http_request_method", "GET".to_owned()),
                ("http_route", format!("/filled/{index}/{{id}}")),
            ];
            let stream = Stream {
                id: (index as u128).to_le_bytes(),
                legacy_id: [0; 16],
            };
            let labels = labels.into_iter().collect();
            Point {
                identity: Arc::new(Identity::new(Arc::clone(&family), labels, stream)),
                start_unix_nanos: 0,
                time_unix_nanos: unix_nanos(),
                value: PointValue::More(Amount::Number(index as f64)),
            }
        };
        let points = (0..SERIES).map(point).collect();
        let change = Change {
            points,
            ..Change::default()
        };
        commit(&sources.journal, change);
    }
    for _ in 0..times {
        black_box(exposition::render(&sources, Format::Text)).expect("it is written to memory");
    }
}

/// An export of 1 000 points, whose series were seen before, is read.
fn recognise(times: u64) {
    let identities = Identities::new(LIMITS.series.max_series);
    let body = exported();
    read(&identities, &body);
    for _ in 0..times {
        black_box(read(&identities, black_box(&body)));
    }
}

/// The same export is folded and appended to the log. With a checkpoint after each, it is written to the tables, too.
fn append(scratch: &Path, checkpoint: CheckpointLimits, times: u64) {
    let identities = Identities::new(LIMITS.series.max_series);
    let points = read(&identities, &exported());
    let limits = JournalLimits {
        checkpoint,
        ..LIMITS
    };
    let journal = journal(scratch, limits, &Registry::new());
    for time in 0..=times {
        let later = |point: &Point| Point {
            time_unix_nanos: time + 2,
            start_unix_nanos: 1,
            value: PointValue::Total(Amount::Number(time as f64)),
            ..point.clone()
        };
        let change = Change {
            points: points.iter().map(later).collect(),
            ..Change::default()
        };
        commit(&journal, change);
    }
}

/// A log of ten such exports is read.
fn replay(scratch: &Path, times: u64) {
    append(scratch, NEVER, 9);
    for _ in 0..times {
        black_box(journal(scratch, LIMITS, &Registry::new()));
    }
}

fn read(identities: &Identities, body: &[u8]) -> Vec<Point> {
    let space = LIMITS.series.space;
    let read = otlp::decode_metrics(Encoding::Protobuf, body, identities, space);
    read.expect("it is valid").message.points
}

/// Returns an export of 1 000 points of one sum, with three attributes each, in protobuf.
fn exported() -> Vec<u8> {
    sums(Encoding::Protobuf, "bench.points", 1000)
        .into_body()
        .to_vec()
}

fn journal(scratch: &Path, limits: JournalLimits, registry: &Registry) -> Journal {
    let path = scratch.join("journal.sqlite");
    Journal::open(&path, limits, JournalMetrics::register(registry)).expect("a new file")
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
