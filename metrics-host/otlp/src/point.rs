//! A data point: its series, its stream and its value.

use super::{Buckets, Labels};
use metric::Kind;
use std::sync::{Arc, atomic::AtomicU64};

/// A Prometheus metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Kind,
    /// Help text, never empty.
    pub help: String,
    /// Hash of the OpenTelemetry name and unit. Two metrics may get the same Prometheus name, but never the same series.
    pub origin: u64,
}

/// Identity of a stream: resource, scope, name, unit, type, temporality, monotonicity and attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Hash of all of it.
    pub id: [u8; 16],
    /// The same stream in a journal of schema 2, which knew neither unit nor type.
    pub legacy_id: [u8; 16],
}

/// The series of a data point, and the stream that reports it.
#[derive(Debug)]
pub struct Identity {
    /// The metric of the series.
    pub family: Arc<Family>,
    /// The labels of the series.
    pub labels: Labels,
    /// The stream. Several may share a series, such as the processes of an instance.
    pub stream: Stream,
    /// Number of the series where it was last found. It may be wrong by now, so whoever uses it compares the names.
    pub(super) last_id: AtomicU64,
}

impl Identity {
    /// Creates the identity of a series that was not looked for yet.
    pub fn new(family: Arc<Family>, labels: Labels, stream: Stream) -> Self {
        Self {
            family,
            labels,
            stream,
            last_id: AtomicU64::new(0),
        }
    }
}

/// One data point.
#[derive(Clone, Debug)]
pub struct Point {
    /// The series and its stream.
    pub identity: Arc<Identity>,
    /// Start of the stream or of the delta's interval, in nanoseconds since the Unix epoch; 0 if unknown.
    pub start_unix_nanos: u64,
    /// Time of the measurement, in nanoseconds since the Unix epoch; 0 if unknown.
    pub time_unix_nanos: u64,
    /// The measured value.
    pub value: PointValue,
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Delta temporality: an increment.
    More(Amount),
    /// Cumulative temporality: the total since the start.
    Total(Amount),
    /// Count and sum since the start, as a histogram without bounds, and the current quantiles with their values.
    Summary(Amount, Vec<(f64, f64)>),
    /// A cumulative sum that may decrease: the process's part of the series.
    Level(f64),
    /// A gauge: the current value.
    Now(f64),
    /// The series ended.
    End,
}

/// The amount of a sum or histogram.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// The value of a sum.
    Number(f64),
    /// The buckets of a histogram. In a box, so that a number takes little room.
    Histogram(Box<Buckets>),
}
