//! What a query is expected to come to.

use evidence::prometheus::Sample;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// An expected answer.
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
    /// Series that have, of these values of a label, exactly those.
    Among(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ),
}

impl Want {
    /// Returns what is wrong with an answer, if anything is.
    pub(crate) fn complaint(&self, samples: &[Sample]) -> Option<String> {
        let fits = match self {
            Self::One(range) => matches!(samples, [sample] if range.contains(&sample.value)),
            Self::All(range) => samples.iter().all(|sample| range.contains(&sample.value)),
            Self::Nothing => samples.is_empty(),
            Self::Each(label, ranges) => {
                samples.len() == ranges.len()
                    && samples.iter().all(|sample| {
                        let range = sample.labels.get(*label).and_then(|name| ranges.get(name));
                        range.is_some_and(|range| range.contains(&sample.value))
                    })
            }
            Self::EachAndZeros(label, ranges) => {
                let named = |name: &String| {
                    let has = |sample: &&Sample| sample.labels.get(*label) == Some(name);
                    samples.iter().find(has)
                };
                let others = |sample: &&Sample| {
                    let name = sample.labels.get(*label);
                    name.is_none_or(|name| !ranges.contains_key(name))
                };
                ranges.iter().all(|(name, range)| {
                    named(name).is_some_and(|sample| range.contains(&sample.value))
                }) && samples
                    .iter()
                    .filter(others)
                    .all(|sample| sample.value == 0.0)
            }
            Self::Among(label, all, some) => all.iter().all(|name| {
                let has =
                    |sample: &Sample| sample.labels.get(*label).is_some_and(|found| found == name);
                samples.iter().any(has) == some.contains(name)
            }),
        };
        (!fits).then(|| format!("expected {}, found {}", self.shown(), shown(samples)))
    }

    fn shown(&self) -> String {
        match self {
            Self::One(range) => format!("one series in {range:?}"),
            Self::Nothing => "no series".into(),
            Self::All(range) => format!("only values in {range:?}"),
            Self::Each(label, ranges) => format!("by {label} {ranges:?}"),
            Self::EachAndZeros(label, ranges) => format!("by {label} {ranges:?}, others 0"),
            Self::Among(label, all, some) => format!("{label} {some:?} of {all:?}"),
        }
    }
}

fn shown(samples: &[Sample]) -> String {
    let samples = samples.iter();
    let shown = samples.map(|sample| format!("{:?} {}", sample.labels, sample.value));
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
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
    let sample = |name: &str, value| Sample {
        labels: [("x".to_owned(), name.to_owned())].into(),
        value,
    };
    let fits = |want: Want, samples: &[Sample]| want.complaint(samples).is_none();
    let one = || Want::One(about(10.0, 0.2));
    assert!(fits(one(), &[sample("a", 8.5)]));
    assert!(!fits(one(), &[sample("a", 7.5)]) && !fits(one(), &[]));
    assert!(!fits(one(), &[sample("a", 10.0), sample("b", 10.0)]));
    assert!(!fits(one(), &[sample("a", f64::NAN)]));
    let each = || Want::Each("x", [("a".to_owned(), exactly(1.0))].into());
    assert!(fits(each(), &[sample("a", 1.0)]));
    assert!(!fits(each(), &[sample("b", 1.0)]) && !fits(each(), &[]));
    assert!(!fits(each(), &[sample("a", 1.0), sample("b", 1.0)]));
    let zeros = || Want::EachAndZeros("x", [("a".to_owned(), exactly(1.0))].into());
    assert!(fits(zeros(), &[sample("a", 1.0), sample("b", 0.0)]));
    assert!(!fits(zeros(), &[sample("a", 1.0), sample("b", 1.0)]));
    assert!(!fits(zeros(), &[sample("b", 0.0)]));
    assert!(
        fits(Want::All(exactly(0.0)), &[]) && !fits(Want::All(exactly(0.0)), &[sample("a", 1.0)])
    );
    assert!(fits(Want::Nothing, &[]) && !fits(Want::Nothing, &[sample("a", 0.0)]));
    let among = || Want::Among("x", &["a", "b"], &["a"]);
    assert!(fits(among(), &[sample("a", 1.0), sample("c", 1.0)]));
    assert!(!fits(among(), &[sample("b", 1.0), sample("a", 1.0)]) && !fits(among(), &[]));
}
