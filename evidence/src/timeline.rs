//! When an alert was first seen in each of its stages.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// A stage on the way of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its rule is evaluated, and does not hold.
    Inactive,
    /// It holds.
    Pending,
    /// It has held for long enough.
    Firing,
    /// The notification of that arrived.
    Notified,
    /// It does not hold any more.
    Resolved,
    /// The notification of that arrived.
    NotifiedOfEnd,
}

/// When each stage was seen.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// When watching began.
    pub start: SystemTime,
    /// The stages, in the order they were seen in.
    pub stages: Vec<(Stage, SystemTime)>,
}

impl Stage {
    /// All of them, in the order that an alert passes them in.
    pub const ALL: [Self; 6] = [
        Self::Inactive,
        Self::Pending,
        Self::Firing,
        Self::Notified,
        Self::Resolved,
        Self::NotifiedOfEnd,
    ];

    /// Returns those that an alert passes whose condition has to hold for so many seconds: it is never pending if it has
    /// not to.
    pub fn passed(hold: f64) -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(move |stage| hold > 0.0 || *stage != Self::Pending)
    }

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Notified => "notified",
            Self::Resolved => "resolved",
            Self::NotifiedOfEnd => "notified of its end",
        }
    }
}

impl Timeline {
    /// An empty one that begins now.
    pub fn begin(now: SystemTime) -> Self {
        Self {
            start: now,
            stages: Vec::new(),
        }
    }

    /// Notes that a stage is seen now.
    pub fn note(&mut self, stage: Stage, now: SystemTime) {
        self.stages.push((stage, now));
    }

    /// Returns the time from the beginning to `time`.
    pub fn since_start(&self, time: SystemTime) -> Duration {
        time.duration_since(self.start).unwrap_or_default()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.stages.iter().map(|(stage, time)| {
            let seconds = self.since_start(*time).as_secs_f64();
            format!("{} {seconds:.1} s", stage.as_str())
        });
        formatter.write_str(&steps.collect::<Vec<_>>().join(" → "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_reads_from_left_to_right() {
        let start = SystemTime::UNIX_EPOCH;
        let mut timeline = Timeline::begin(start);
        timeline.note(Stage::Inactive, start);
        timeline.note(Stage::Pending, start + Duration::from_millis(3250));
        assert_eq!(timeline.to_string(), "inactive 0.0 s → pending 3.2 s");
    }
}
