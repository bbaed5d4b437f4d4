//! Expected answers to queries.

use evidence::prometheus::Sample;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// An expected answer.
#[derive(Debug)]
pub(crate) enum Want {
    /// One series, with a value in this range.
    One(RangeInclusive<f64>),
    /// These series, by one of their labels, and no others.
    Each(&'static str, BTreeMap<String, RangeInclusive<f64>>),
    /// The same, and perhaps others that are 0.
    EachAndZeros(&'static str, BTreeMap<String, RangeInclusive<f64>>),
    /// Any series or none, each with a value in this range.
    All(RangeInclusive<f64>),
    /// No series: a condition that does not hold.
    Nothing,
    /// Series that have, of these values of a label, this one alone.
    Among(&'static str, Vec<String>, String),
}

impl Want {
    /// Returns what is wrong with an answer, if anything is.
    pub(crate) fn complaint(&self, samples: &[Sample]) -> Option<String> {
        let label = |sample: &Sample, label: &str| sample.labels.get(label).cloned();
        let fits = match self {
            Self::One(range) => matches!(samples, [sample] if range.contains(&sample.value)),
            Self::All(range) => samples.iter().all(|sample| range.contains(&sample.value)),
            Self::Nothing => samples.is_empty(),
            Self::Each(name, ranges) | Self::EachAndZeros(name, ranges) => {
                let range =
                    |sample: &Sample| label(sample, name).and_then(|name| ranges.get(&name));
                let named = samples.iter().filter(|sample| range(sample).is_some());
                let fits = |sample: &Sample| match range(sample) {
                    Some(range) => range.contains(&sample.value),
                    None => matches!(self, Self::EachAndZeros(..)) && sample.value == 0.0,
                };
                named.count() == ranges.len() && samples.iter().all(fits)
            }
            Self::Among(name, all, only) => all.iter().all(|one| {
                let mut found = samples.iter().filter_map(|sample| label(sample, name));
                found.any(|found| found == *one) == (one == only)
            }),
        };
        let found = samples.iter().map(|sample| (&sample.labels, sample.value));
        (!fits).then(|| format!("expected {self:?}, found {:?}", found.collect::<Vec<_>>()))
    }
}

/// Returns the range of `part` around a value.
pub(crate) fn about(value: f64, part: f64) -> RangeInclusive<f64> {
    value * (1.0 - part)..=value * (1.0 + part)
}

/// Returns the range of this value alone.
pub(crate) fn exactly(value: f64) -> RangeInclusive<f64> {
    value..=value
}

#[test]
fn a_wrong_answer_is_noticed() {
    let fits = |want: &Want, samples: &[(&str, f64)]| {
        let samples = samples.iter().map(|(name, value)| Sample {
            labels: [("x".to_owned(), (*name).to_owned())].into(),
            value: *value,
        });
        want.complaint(&samples.collect::<Vec<_>>()).is_none()
    };
    let one = Want::One(about(10.0, 0.2));
    assert!(fits(&one, &[("a", 8.5)]));
    assert!(!fits(&one, &[("a", 7.5)]) && !fits(&one, &[]) && !fits(&one, &[("a", f64::NAN)]));
    assert!(!fits(&one, &[("a", 10.0), ("b", 10.0)]));
    let each = Want::Each("x", [("a".to_owned(), exactly(1.0))].into());
    assert!(fits(&each, &[("a", 1.0)]) && !fits(&each, &[("b", 1.0)]) && !fits(&each, &[]));
    assert!(!fits(&each, &[("a", 1.0), ("b", 1.0)]) && !fits(&each, &[("a", 1.0), ("b", 0.0)]));
    let zeros = Want::EachAndZeros("x", [("a".to_owned(), exactly(1.0))].into());
    assert!(fits(&zeros, &[("a", 1.0), ("b", 0.0)]) && !fits(&zeros, &[("b", 0.0)]));
    assert!(!fits(&zeros, &[("a", 1.0), ("b", 1.0)]));
    let all = Want::All(exactly(0.0));
    assert!(fits(&all, &[]) && !fits(&all, &[("a", 1.0)]));
    assert!(fits(&Want::Nothing, &[]) && !fits(&Want::Nothing, &[("a", 0.0)]));
    let among = Want::Among("x", vec!["a".into(), "b".into()], "a".into());
    assert!(fits(&among, &[("a", 1.0), ("c", 1.0)]) && !fits(&among, &[]));
    assert!(!fits(&among, &[("b", 1.0), ("a", 1.0)]));
}
