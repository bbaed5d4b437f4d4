//! An entry of the log: the new values of everything that a group of changes changed.
//!
//! An entry has values and not increments, so an entry that is read twice changes nothing the second time, and a
//! checkpoint may write to the tables what later entries have, too.

use super::senders::LastBatch;
use metric::Kind;
use otlp::{Amount, Changed, Labels, Metric, Names, Replacement, Series, SeriesValue, Track};
use postcard::{take_from_bytes, to_extend};
use request_counts::{
    ApplicationCounts, Component, ComponentFailure, RequestCounts, RequestLabels, Status,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};
use telemetry::{Histogram, histogram::BUCKETS};

/// The values of an entry, except series of generic OTLP senders.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Time of the group, in seconds of the host's uptime.
    pub(super) uptime: u64,
    /// The last batches of senders.
    pub(super) senders: Vec<(String, LastBatch)>,
    /// [`super::State::reported`].
    pub(super) reported: ApplicationCounts,
    /// [`super::State::host`].
    pub(super) host: ApplicationCounts,
}

/// A series of a generic OTLP sender in an entry.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) id: u64,
    /// Metric and labels of a new series.
    pub(super) names: Option<Names>,
    pub(super) series: Series,
}

/// A sum as it is stored: amount, whether it ended, origin, tracks.
pub(super) type Stored<A, T> = (A, bool, u64, T);

/// Returns a series as it is stored; `None` unless it is a sum: other series are not on disk.
pub(super) fn stored(series: &Series) -> Option<Stored<&Amount, &[Track]>> {
    match &series.value {
        SeriesValue::Sum(sum) => Some((&sum.amount, series.ended, series.origin, &series.tracks)),
        SeriesValue::Gauge(_) | SeriesValue::Levels(_) => None,
    }
}

/// Returns a stored series that was last reported at `seen`.
pub(super) fn restored(stored: Stored<Amount, Vec<Track>>, seen: u64, uptime: u64) -> Series {
    let (amount, ended, origin, tracks) = stored;
    let mut series = Series::restore(amount, seen, uptime);
    (series.ended, series.origin, series.tracks) = (ended, origin, tracks);
    series
}

/// Number of a series, the index of its metric and its labels if it is new, and when it was last reported.
type SeriesHead<'a> = (u64, Option<(usize, &'a str)>, u64);

/// The counters of a component: application, component, requests, latency, failures; errors, overflowed and lost requests.
#[derive(Serialize, Deserialize)]
struct Counters<'a>(
    &'a str,
    &'a str,
    #[serde(borrow)] Vec<Requests<'a>>,
    #[serde(borrow)] Vec<(&'a str, [u64; BUCKETS], u64)>,
    #[serde(borrow)] Vec<(&'a str, u64)>,
    [u64; 3],
);

/// Endpoint, method, status, whether it is a class, count.
type Requests<'a> = (&'a str, &'a str, u16, bool, u64);

impl Entry {
    /// Returns the bytes of the entry with the changed series; `None` if nothing of it belongs on disk.
    pub(super) fn encode(&self, otlp: &Replacement) -> Option<Vec<u8>> {
        let mut metrics = Vec::new();
        let mut indices = HashMap::new();
        let mut heads: Vec<(SeriesHead<'_>, &Series)> = Vec::new();
        for (id, Changed { series, new }) in otlp.series() {
            if stored(series).is_none() {
                continue;
            }
            let names = new.as_ref().map(|Names { metric, labels }| {
                let index = *indices.entry(&*metric.name).or_insert_with(|| {
                    metrics.push(metric);
                    metrics.len() - 1
                });
                (index, labels.as_str())
            });
            heads.push(((id, names, series.seen), series));
        }
        let is_empty = self.senders.is_empty()
            && self.reported.is_empty()
            && self.host.is_empty()
            && heads.is_empty();
        if is_empty {
            return None;
        }
        let mut bytes = Vec::with_capacity(256 + 100 * heads.len());
        put(&mut bytes, &self.uptime);
        put(&mut bytes, &self.senders.len());
        for (instance, last) in &self.senders {
            put(&mut bytes, &(instance, last.sequence, last.body, last.seen));
        }
        put(&mut bytes, &counters(&self.reported));
        put(&mut bytes, &counters(&self.host));
        put(&mut bytes, &metrics.len());
        for metric in metrics {
            put(
                &mut bytes,
                &(&metric.name, metric.kind.as_str(), &metric.help),
            );
        }
        put(&mut bytes, &heads.len());
        for (head, series) in heads {
            put(&mut bytes, &(head, stored(series)));
        }
        Some(bytes)
    }

    /// Reads an entry and its series.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<(Self, Vec<Image>), String> {
        let bytes = &mut bytes;
        let uptime = take(bytes)?;
        let mut senders = vec![];
        for _ in 0..take::<usize>(bytes)? {
            let (instance, sequence, body, seen) = take(bytes)?;
            let last = LastBatch {
                sequence,
                body,
                seen,
            };
            senders.push((instance, last));
        }
        let entry = Self {
            uptime,
            senders,
            reported: read_counters(take(bytes)?)?,
            host: read_counters(take(bytes)?)?,
        };
        let mut metrics = vec![];
        for _ in 0..take::<usize>(bytes)? {
            let (name, kind, help) = take::<(String, &str, String)>(bytes)?;
            let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
            let kind = kind.ok_or_else(|| format!("metric {name} has no type"))?;
            metrics.push(Arc::new(Metric { name, kind, help }));
        }
        let mut images = vec![];
        for _ in 0..take::<usize>(bytes)? {
            let (head, stored) = take::<(SeriesHead<'_>, Option<_>)>(bytes)?;
            let (id, names, seen) = head;
            let names = names.map(|(index, labels)| {
                let metric = metrics.get(index).cloned();
                let metric = metric.ok_or_else(|| format!("series {id} has no metric"))?;
                let labels = Labels::from_text(labels);
                Ok::<_, String>(Names { metric, labels })
            });
            let stored = stored.ok_or_else(|| format!("series {id} has no value"))?;
            images.push(Image {
                id,
                names: names.transpose()?,
                series: restored(stored, seen, uptime),
            });
        }
        if !bytes.is_empty() {
            return Err(format!("{} bytes are left", bytes.len()));
        }
        Ok((entry, images))
    }
}

fn put(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let extended = to_extend(value, std::mem::take(bytes));
    *bytes = extended.expect("memory takes all bytes");
}

fn take<'a, T: Deserialize<'a>>(bytes: &mut &'a [u8]) -> Result<T, String> {
    let (value, rest) = take_from_bytes(bytes).map_err(|error| error.to_string())?;
    *bytes = rest;
    Ok(value)
}

fn counters(counts: &ApplicationCounts) -> Vec<Counters<'_>> {
    let all = counts.iter().map(|(component, counts)| {
        let requests = counts.requests.iter().map(|(labels, count)| {
            let (status, is_class) = match labels.status {
                Status::Code(code) => (code, false),
                Status::Class(class) => (class, true),
            };
            (&*labels.endpoint, labels.method, status, is_class, *count)
        });
        let latency = counts.latency.iter();
        let latency = latency
            .map(|(endpoint, histogram)| (&**endpoint, histogram.buckets, histogram.sum_nanos));
        let failures = counts.component_failures.iter();
        Counters(
            &component.application,
            &component.component,
            requests.collect(),
            latency.collect(),
            failures
                .map(|(failure, count)| (failure.as_str(), *count))
                .collect(),
            [counts.errors, counts.overflowed, counts.lost],
        )
    });
    all.collect()
}

fn read_counters(stored: Vec<Counters<'_>>) -> Result<ApplicationCounts, String> {
    let mut all = ApplicationCounts::default();
    for Counters(application, component, requests, latency, failures, totals) in stored {
        let mut counts = RequestCounts::default();
        for (endpoint, method, status, is_class, count) in requests {
            let status = match is_class {
                true => Status::Class(status),
                false => Status::Code(status),
            };
            let labels = RequestLabels::stored(endpoint.to_owned(), method, &status.to_string());
            let labels = labels.ok_or_else(|| format!("status {status}"))?;
            counts.requests.insert(labels, count);
        }
        for (endpoint, buckets, sum_nanos) in latency {
            let histogram = Histogram { buckets, sum_nanos };
            counts.latency.insert(endpoint.to_owned(), histogram);
        }
        for (failure, count) in failures {
            let mut known = ComponentFailure::ALL.into_iter();
            let known = known.find(|known| known.as_str() == failure);
            let known = known.ok_or_else(|| format!("failure {failure:?}"))?;
            counts.component_failures.insert(known, count);
        }
        [counts.errors, counts.overflowed, counts.lost] = totals;
        *all.of(&Component::new(application, component)) = counts;
    }
    Ok(all)
}
