//! The tables: what a checkpoint writes, and what is read when the journal is opened.

use super::{
    checkpoint::Pending,
    entry::{restored, stored},
    senders::{LastBatch, Senders},
    state::State,
    store::{Reason, Store},
};
use metric::Kind;
use otlp::{Amount, Known, Labels, LegacyTracks, Metric, Names, OtlpSeries, Series, Track};
use request_counts::{
    ApplicationCounts, Component, ComponentFailure, RequestCounts, RequestLabels,
};
use rusqlite::{OptionalExtension, Row, params, types::ValueRef};
use serde::de::DeserializeOwned;
use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    sync::Arc,
};
use telemetry::{Histogram, histogram::BUCKETS};

const ALL_SENDERS: &str = "SELECT instance, sequence, body, seen FROM senders ORDER BY seen";
const PUT_SENDER: &str = "INSERT INTO senders (instance, sequence, body, seen) VALUES (?, ?, ?, ?) \
    ON CONFLICT (instance) DO UPDATE SET sequence = excluded.sequence, body = excluded.body, seen = excluded.seen";
const FORGET_SENDER: &str = "DELETE FROM senders WHERE instance = ?";
const FIND_COMPONENT: &str =
    "SELECT id FROM components WHERE reporter = ? AND application = ? AND component = ?";
const ADD_COMPONENT: &str =
    "INSERT INTO components (reporter, application, component) VALUES (?, ?, ?)";
const PUT_REQUESTS: &str = "INSERT INTO component_requests (component, endpoint, method, status, count) VALUES (?, ?, ?, ?, ?) \
    ON CONFLICT DO UPDATE SET count = excluded.count";
const PUT_LATENCY: &str = "INSERT INTO component_latency (component, endpoint, buckets, sum_nanos) VALUES (?, ?, ?, ?) \
    ON CONFLICT DO UPDATE SET buckets = excluded.buckets, sum_nanos = excluded.sum_nanos";
const PUT_TOTAL: &str = "INSERT INTO component_totals (component, name, count) VALUES (?, ?, ?) \
    ON CONFLICT DO UPDATE SET count = excluded.count";
const PUT_METRIC: &str = "INSERT INTO otlp_metrics (name, kind, help) VALUES (?, ?, ?) \
    ON CONFLICT DO UPDATE SET kind = excluded.kind, help = excluded.help";
const FORGET_METRIC: &str = "DELETE FROM otlp_metrics WHERE name = ?";
const PUT_SERIES: &str = "INSERT INTO otlp_series (id, metric, labels) VALUES (?, ?, ?)";
const PUT_SUM: &str = "INSERT INTO otlp_sums (id, seen, sum) VALUES (?, ?, ?)";
const UPDATE_SUM: &str = "UPDATE otlp_sums SET seen = ?2, sum = ?3 WHERE id = ?1";
const FORGET_SERIES: &str = "DELETE FROM otlp_series WHERE id = ?";
const FORGET_SUM: &str = "DELETE FROM otlp_sums WHERE id = ?";
const FORGET_LEGACY_TRACK: &str = "DELETE FROM otlp_streams WHERE id = ?";
const ALL_COMPONENTS: &str = "SELECT id, application, component FROM components WHERE reporter = ?";
const ALL_REQUESTS: &str =
    "SELECT endpoint, method, status, count FROM component_requests WHERE component = ?";
const ALL_LATENCY: &str =
    "SELECT endpoint, buckets, sum_nanos FROM component_latency WHERE component = ?";
const ALL_TOTALS: &str = "SELECT name, count FROM component_totals WHERE component = ?";
const ALL_METRICS: &str = "SELECT name, kind, help FROM otlp_metrics";
const ALL_SERIES: &str =
    "SELECT metric, labels, id, seen, sum FROM otlp_series JOIN otlp_sums USING (id)";
const LEGACY_TRACKS: &str =
    "SELECT id, start_unix_nanos, time_unix_nanos, total, seen FROM otlp_streams";
const SEEN: &str = "SELECT max((SELECT coalesce(max(seen), 0) FROM otlp_sums), \
    (SELECT coalesce(max(seen), 0) FROM otlp_streams), (SELECT coalesce(max(seen), 0) FROM senders))";

/// Names in the table `component_totals`, beside the reasons of [`ComponentFailure`].
const ERRORS: &str = "errors";
const OVERFLOWED: &str = "overflowed";
const LOST: &str = "lost";

/// The origin of request counts: values of the column `reporter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reporter {
    Component,
    Host,
}

impl Reporter {
    fn as_str(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Host => "host",
        }
    }
}

/// A series of a generic OTLP sender, as a checkpoint writes it.
#[derive(Debug)]
pub(super) enum SeriesRow {
    Put {
        id: u64,
        names: Names,
        seen: u64,
        sum: Vec<u8>,
    },
    /// It was forgotten.
    Delete(u64),
}

impl SeriesRow {
    pub(super) fn of(all: &OtlpSeries, id: u64) -> Self {
        let put = all.get(id).and_then(|known| {
            let stored = stored(&known.series)?;
            Some(Self::Put {
                id,
                names: known.names.clone(),
                seen: known.series.seen,
                sum: postcard::to_allocvec(&stored).expect("memory takes all bytes"),
            })
        });
        put.unwrap_or(Self::Delete(id))
    }
}

impl Store {
    /// Writes series, ascending by their numbers, and deletes those that were forgotten.
    pub(super) fn put_series(&self, rows: &[SeriesRow]) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached(UPDATE_SUM)?;
        let mut metrics_written = HashSet::new();
        for row in rows {
            match row {
                SeriesRow::Put {
                    id,
                    names: Names { metric, labels },
                    seen,
                    sum,
                } => {
                    let values = params![to_sql(*id), to_sql(*seen), sum];
                    if update.execute(values)? > 0 {
                        continue;
                    }
                    let Metric { name, kind, help } = &**metric;
                    if metrics_written.insert(&**name) {
                        self.put(PUT_METRIC, params![name, kind.as_str(), help])?;
                    }
                    self.put(PUT_SERIES, params![to_sql(*id), name, labels.as_str()])?;
                    self.put(PUT_SUM, values)?;
                }
                SeriesRow::Delete(id) => {
                    self.put(FORGET_SERIES, params![to_sql(*id)])?;
                    self.put(FORGET_SUM, params![to_sql(*id)])?;
                }
            }
        }
        Ok(())
    }

    /// Writes the last batches of senders, and deletes senders that were forgotten.
    pub(super) fn put_senders(
        &self,
        senders: &[(&str, Option<LastBatch>)],
    ) -> rusqlite::Result<()> {
        for (instance, last) in senders {
            match last {
                Some(LastBatch {
                    sequence,
                    body,
                    seen,
                }) => self.put(
                    PUT_SENDER,
                    params![instance, to_sql(*sequence), body, to_sql(*seen)],
                )?,
                None => self.put(FORGET_SENDER, params![instance])?,
            }
        }
        Ok(())
    }

    /// Deletes metrics without series.
    pub(super) fn forget_metrics(&self, names: &[&String]) -> rusqlite::Result<()> {
        let mut names = names.iter();
        names.try_for_each(|name| self.put(FORGET_METRIC, params![name]))
    }

    /// Deletes tracks of schema 2.
    pub(super) fn forget_legacy(&self, tracks: &[[u8; 16]]) -> rusqlite::Result<()> {
        let mut tracks = tracks.iter();
        tracks.try_for_each(|id| self.put(FORGET_LEGACY_TRACK, params![id]))
    }

    /// Writes new values of counters.
    pub(super) fn put_requests(
        &self,
        reporter: Reporter,
        values: &ApplicationCounts,
    ) -> rusqlite::Result<()> {
        for (component, values) in values.iter() {
            let id = self.component_id(reporter, component)?;
            self.put_component(id, values)?;
        }
        Ok(())
    }

    /// Finds the id of a component, or adds the component.
    fn component_id(&self, reporter: Reporter, component: &Component) -> rusqlite::Result<i64> {
        let known = &mut self.component_ids.borrow_mut()[reporter as usize];
        if let Some(id) = known.get(component) {
            return Ok(*id);
        }
        let names = params![
            reporter.as_str(),
            component.application,
            component.component
        ];
        let mut statement = self.connection.prepare_cached(FIND_COMPONENT)?;
        let found = statement.query_row(names, |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                self.put(ADD_COMPONENT, names)?;
                self.connection.last_insert_rowid()
            }
        };
        known.insert(component.clone(), id);
        Ok(id)
    }

    fn put_component(&self, id: i64, values: &RequestCounts) -> rusqlite::Result<()> {
        for (labels, count) in &values.requests {
            let RequestLabels {
                endpoint,
                method,
                status,
            } = labels;
            let values = params![id, endpoint, method, status.to_string(), to_sql(*count)];
            self.put(PUT_REQUESTS, values)?;
        }
        for (endpoint, histogram) in &values.latency {
            let buckets = serde_json::to_string(&histogram.buckets);
            let buckets = buckets.expect("numbers always serialize");
            let values = params![id, endpoint, buckets, to_sql(histogram.sum_nanos)];
            self.put(PUT_LATENCY, values)?;
        }
        let mut totals = vec![
            (ERRORS, values.errors),
            (OVERFLOWED, values.overflowed),
            (LOST, values.lost),
        ];
        let failures = values.component_failures.iter();
        totals.extend(failures.map(|(failure, count)| (failure.as_str(), *count)));
        for (name, count) in totals.into_iter().filter(|(_, count)| *count > 0) {
            self.put(PUT_TOTAL, params![id, name, to_sql(count)])?;
        }
        Ok(())
    }

    fn put(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Reads all tables; returns when a sender was last seen, too.
    pub(super) fn read(&self, pending: &mut Pending) -> Result<(State, u64), Reason> {
        let last_seen = self.connection.query_row(SEEN, [], |row| row.get(0))?;
        let last_seen = from_sql(last_seen);
        let state = State {
            reported: self.read_requests(Reporter::Component)?,
            host: self.read_requests(Reporter::Host)?,
            otlp: self.read_otlp(last_seen, pending)?,
            senders: self.read_senders()?,
            ..State::default()
        };
        Ok((state, last_seen))
    }

    fn read_senders(&self) -> Result<Senders, Reason> {
        let mut senders = Senders::default();
        let mut statement = self.connection.prepare(ALL_SENDERS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let last = LastBatch {
                sequence: from_sql(row.get(1)?),
                body: row.get(2)?,
                seen: from_sql(row.get(3)?),
            };
            senders.put(row.get(0)?, last);
        }
        Ok(senders)
    }

    fn read_requests(&self, reporter: Reporter) -> Result<ApplicationCounts, Reason> {
        let mut all = ApplicationCounts::default();
        let mut statement = self.connection.prepare(ALL_COMPONENTS)?;
        let mut rows = statement.query([reporter.as_str()])?;
        while let Some(row) = rows.next()? {
            let component = Component {
                application: row.get(1)?,
                component: row.get(2)?,
            };
            *all.of(&component) = self.read_component(row.get(0)?)?;
        }
        Ok(all)
    }

    fn read_component(&self, id: i64) -> Result<RequestCounts, Reason> {
        let mut counts = RequestCounts::default();
        let mut statement = self.connection.prepare_cached(ALL_REQUESTS)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let (method, status): (String, String) = (row.get(1)?, row.get(2)?);
            let labels = RequestLabels::stored(row.get(0)?, &method, &status)
                .ok_or_else(|| Reason::Damaged(format!("status {status:?} in requests")))?;
            counts.requests.insert(labels, from_sql(row.get(3)?));
        }
        let mut statement = self.connection.prepare_cached(ALL_LATENCY)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let buckets: [u64; BUCKETS] = parse("latency", &row.get::<_, String>(1)?)?;
            let histogram = Histogram {
                buckets,
                sum_nanos: from_sql(row.get(2)?),
            };
            counts.latency.insert(row.get(0)?, histogram);
        }
        let mut statement = self.connection.prepare_cached(ALL_TOTALS)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let (name, count): (String, i64) = (row.get(0)?, row.get(1)?);
            let failures = ComponentFailure::ALL;
            let failure = failures
                .into_iter()
                .find(|failure| failure.as_str() == name);
            match (&*name, failure) {
                (ERRORS, _) => counts.errors = from_sql(count),
                (OVERFLOWED, _) => counts.overflowed = from_sql(count),
                (LOST, _) => counts.lost = from_sql(count),
                (_, Some(failure)) => {
                    counts.component_failures.insert(failure, from_sql(count));
                }
                _ => return Err(Reason::Damaged(format!("total {name:?}"))),
            }
        }
        Ok(counts)
    }

    fn read_otlp(&self, last_seen: u64, pending: &mut Pending) -> Result<OtlpSeries, Reason> {
        let mut all = OtlpSeries::new(self.read_legacy()?);
        let mut metrics = HashMap::new();
        let mut statement = self.connection.prepare(ALL_METRICS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
            let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
            let kind =
                known.ok_or_else(|| Reason::Damaged(format!("type {kind:?} in otlp_metrics")))?;
            let help = row.get(2)?;
            let metric = Metric {
                name: name.clone(),
                kind,
                help,
            };
            metrics.insert(name, Arc::new(metric));
        }
        let mut statement = self.connection.prepare(ALL_SERIES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str().map_err(damaged("otlp_series"))?;
            let metric = metrics.get(name).cloned();
            let metric = metric.ok_or_else(|| Reason::Damaged(format!("no metric {name:?}")))?;
            let labels = row.get_ref(1)?.as_str().map_err(damaged("otlp_series"))?;
            let labels = Labels::from_text(labels);
            let known = Known {
                names: Names { metric, labels },
                series: read_sum(row, last_seen)?,
            };
            all.restore(from_sql(row.get(2)?), known);
        }
        let mut unused = metrics.into_keys();
        let unused = unused.by_ref().filter(|name| all.metric(name).is_none());
        pending.metrics.extend(unused);
        Ok(all)
    }

    fn read_legacy(&self) -> Result<LegacyTracks, Reason> {
        let mut legacy = LegacyTracks::new();
        let mut statement = self.connection.prepare(LEGACY_TRACKS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let unsigned = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let track = Track {
                stream: row.get(0)?,
                start_unix_nanos: unsigned(1)?,
                time_unix_nanos: unsigned(2)?,
                amount: parse("otlp_streams", &row.get::<_, String>(3)?)?,
                seen: from_sql(row.get(4)?),
                forgotten: None,
            };
            legacy.insert(track.stream, track);
        }
        Ok(legacy)
    }
}

fn read_sum(row: &Row<'_>, last_seen: u64) -> Result<Series, Reason> {
    let seen = from_sql(row.get(3)?);
    match row.get_ref(4)? {
        // Of schema 2.
        ValueRef::Text(text) => {
            let amount = serde_json::from_slice(text).map_err(damaged("otlp_sums"))?;
            Ok(Series::restore(amount, seen, last_seen))
        }
        ValueRef::Blob(bytes) => {
            let stored = postcard::from_bytes::<(Amount, bool, u64, Vec<Track>)>(bytes);
            Ok(restored(
                stored.map_err(damaged("otlp_sums"))?,
                seen,
                last_seen,
            ))
        }
        other => Err(damaged("otlp_sums")(other.data_type())),
    }
}

fn damaged<E: Display>(table: &str) -> impl Fn(E) -> Reason {
    move |error| Reason::Damaged(format!("{table}: {error}"))
}

/// Converts to SQLite's signed integers, saturating.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, Reason> {
    serde_json::from_str(text).map_err(damaged(table))
}
