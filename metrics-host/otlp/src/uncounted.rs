//! Data points that are not counted, with their reasons.

use crate::MALFORMED;
use std::collections::BTreeMap;

/// Maximum number of streams that are named in one message.
const MAX_STREAMS: usize = 16;
/// Longest description of a stream, in bytes.
const MAX_DESCRIPTION: usize = 300;

/// Number of parts of a message that are not counted, by the value of the label `reason`.
pub type Rejections = BTreeMap<&'static str, u64>;

/// All reasons of a rejection: first those of unreadable points, then those of points that do not fit into the journal
/// or contradict what it has.
pub const REJECTION_REASONS: [&str; 14] = [
    MALFORMED,
    "no_data",
    "value",
    "name",
    "labels",
    "temporality",
    "series",
    "share",
    "metrics",
    "streams",
    "type",
    "collision",
    "decreased",
    "forgotten",
];

/// All reasons of an accepted point that changes no series: it was counted before, a later one had come first, or it
/// only ends its series.
pub const SKIP_REASONS: [&str; 3] = ["repeated", "superseded", "no_recorded_value"];

/// The data points of a message that are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Refused points by reason.
    pub rejected: Rejections,
    /// Accepted points that change no series, by reason.
    pub skipped: Rejections,
    /// Some of the refused streams, each with the reason.
    pub streams: Vec<(&'static str, String)>,
}

impl Uncounted {
    /// Creates an empty set.
    pub const fn new() -> Self {
        Self {
            rejected: Rejections::new(),
            skipped: Rejections::new(),
            streams: Vec::new(),
        }
    }

    /// Adds refused points of a stream, which is described only if there is room.
    pub fn reject(&mut self, reason: &'static str, points: u64, stream: impl FnOnce() -> String) {
        if points == 0 {
            return;
        }
        *self.rejected.entry(reason).or_default() += points;
        if self.streams.len() < MAX_STREAMS {
            let mut stream = stream();
            stream.truncate(stream.floor_char_boundary(MAX_DESCRIPTION));
            if !self.streams.contains(&(reason, stream.clone())) {
                self.streams.push((reason, stream));
            }
        }
    }

    /// Adds an accepted point that changes no series.
    pub fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        for (reason, count) in other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        self.streams.extend(other.streams);
    }

    /// Returns the number of points.
    pub fn points(&self) -> u64 {
        self.rejected.values().chain(self.skipped.values()).sum()
    }
}
