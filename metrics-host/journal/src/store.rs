//! The database: SQL statements, schema migrations, opening and integrity checks.

use super::state::State;
use metric::Kind;
use otlp::{
    Amount, Expired, LegacyTracks, MetricSeries, OtlpSeries, Replacement, Series, SeriesValue, Sum,
    Track,
};
use request_counts::{
    ApplicationCounts, Component, ComponentFailure, RequestCounts, RequestLabels,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, types::ValueRef};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fmt::Display,
    path::{Path, PathBuf},
};
use telemetry::{Histogram, histogram::BUCKETS};

/// Marks the file as a journal: "mhjl".
const APPLICATION_ID: i32 = 0x6d68_6a6c;
/// Migrations in order; the n-th makes schema version n. A released migration never changes.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_requests.sql"),
    include_str!("migrations/0002_otlp.sql"),
    include_str!("migrations/0003_components.sql"),
    include_str!("migrations/0004_otlp_sums.sql"),
    include_str!("migrations/0005_identity.sql"),
];
/// Largest write-ahead log kept after a checkpoint, in bytes.
const WAL_SIZE: i64 = 16 << 20;
/// Prepared statements to keep; more than there are.
const STATEMENT_CACHE: usize = 32;

const IDENTITY: &str = "SELECT id FROM identity";
const LAST_BATCH: &str = "SELECT sequence, body FROM senders WHERE instance = ?";
const REMEMBER: &str = "INSERT INTO senders (instance, sequence, body, seen) VALUES (?, ?, ?, ?) \
    ON CONFLICT (instance) DO UPDATE SET sequence = excluded.sequence, body = excluded.body, seen = excluded.seen";
const FORGET_OLDEST: &str = "DELETE FROM senders WHERE instance IN \
    (SELECT instance FROM senders ORDER BY seen LIMIT ?)";
const COUNT_SENDERS: &str = "SELECT count(*), coalesce(max(seen), 0) FROM senders";
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
const PUT_SERIES: &str = "INSERT INTO otlp_series (id, metric, labels) VALUES (?, ?, ?)";
const PUT_SUM: &str = "INSERT INTO otlp_sums (id, seen, sum) VALUES (?, ?, ?)";
const UPDATE_SUM: &str = "UPDATE otlp_sums SET seen = ?2, sum = ?3 WHERE id = ?1";
const FORGET_SERIES: &str = "DELETE FROM otlp_series WHERE id = ?";
const FORGET_SUM: &str = "DELETE FROM otlp_sums WHERE id = ?";
const FORGET_METRICS: &str =
    "DELETE FROM otlp_metrics WHERE name NOT IN (SELECT metric FROM otlp_series)";
const FORGET_LEGACY_TRACK: &str = "DELETE FROM otlp_streams WHERE id = ?";
const ALL_COMPONENTS: &str = "SELECT id, application, component FROM components WHERE reporter = ?";
const ALL_REQUESTS: &str =
    "SELECT endpoint, method, status, count FROM component_requests WHERE component = ?";
const ALL_LATENCY: &str =
    "SELECT endpoint, buckets, sum_nanos FROM component_latency WHERE component = ?";
const ALL_TOTALS: &str = "SELECT name, count FROM component_totals WHERE component = ?";
const ALL_SERIES: &str = "SELECT metric, kind, help, labels, id, seen, sum FROM otlp_series \
    JOIN otlp_sums USING (id) JOIN otlp_metrics ON otlp_metrics.name = otlp_series.metric";
const LEGACY_TRACKS: &str =
    "SELECT id, start_unix_nanos, time_unix_nanos, total, seen FROM otlp_streams";
const OTLP_SEEN: &str = "SELECT max((SELECT coalesce(max(seen), 0) FROM otlp_sums), \
    (SELECT coalesce(max(seen), 0) FROM otlp_streams))";

/// Names in the table `component_totals`, beside the reasons of [`ComponentFailure`].
const ERRORS: &str = "errors";
const OVERFLOWED: &str = "overflowed";
const LOST: &str = "lost";

/// An error of [`crate::Journal::open`].
#[derive(Debug, thiserror::Error)]
#[error("journal {}", path.display())]
pub struct JournalError {
    path: PathBuf,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "damaged ({0}); restore it from a backup, or move it away with its -wal and -shm files to start from 0"
    )]
    Damaged(String),
    #[error("is not a journal of metrics-host; choose another --state-dir")]
    Foreign,
    #[error(
        "written by a newer metrics-host (schema {found}, this one knows {known}); run that one",
        known = MIGRATIONS.len()
    )]
    Newer { found: i64 },
}

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

/// The last batch of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastBatch {
    pub(super) sequence: u64,
    pub(super) body: Vec<u8>,
}

/// The open database.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    /// Ids of components by reporter, also of those that the transaction in progress adds.
    component_ids: RefCell<[HashMap<Component, i64>; 2]>,
    /// Latest `seen` in any table, in seconds of the host's uptime.
    pub(super) last_seen: u64,
    /// A random name that the journal got when its file was made.
    pub(super) identity: String,
}

impl Store {
    /// Opens or creates the database and reads the committed state.
    pub(super) fn open(path: &Path) -> Result<(Self, State), JournalError> {
        Self::open_and_read(path).map_err(|reason| JournalError {
            path: path.to_owned(),
            reason: match reason {
                Reason::Sqlite(error) if is_damage(&error) => Reason::Damaged(error.to_string()),
                reason => reason,
            },
        })
    }

    fn open_and_read(path: &Path) -> Result<(Self, State), Reason> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        check(&connection)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // With `full`, a commit returns after the log is synced to disk.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "journal_size_limit", WAL_SIZE)?;
        migrate(&mut connection, MIGRATIONS.len())?;
        let mut store = Self {
            identity: connection.query_row(IDENTITY, [], |row| row.get(0))?,
            connection,
            component_ids: RefCell::default(),
            last_seen: 0,
        };
        let state = store.read()?;
        Ok((store, state))
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")
    }

    /// Commits the transaction; on return it is on disk.
    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT")
    }

    /// Rolls the transaction back, unless SQLite has done so itself.
    pub(super) fn roll_back(&self) {
        self.component_ids.take();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back");
        }
    }

    /// Writes an unchanged value, to find out whether the disk accepts writes.
    pub(super) fn probe(&self) -> rusqlite::Result<()> {
        self.connection
            .pragma_update(None, "user_version", MIGRATIONS.len() as i64)
    }

    pub(super) fn last_batch(&self, instance: &str) -> rusqlite::Result<Option<LastBatch>> {
        let mut statement = self.connection.prepare_cached(LAST_BATCH)?;
        let row = statement.query_row([instance], |row| {
            Ok(LastBatch {
                sequence: from_sql(row.get(0)?),
                body: row.get(1)?,
            })
        });
        row.optional()
    }

    pub(super) fn remember(
        &self,
        instance: &str,
        sequence: u64,
        body: &[u8],
        seen: u64,
    ) -> rusqlite::Result<()> {
        self.put(
            REMEMBER,
            params![instance, to_sql(sequence), body, to_sql(seen)],
        )
    }

    /// Forgets the `count` instances seen least recently; returns the number forgotten.
    pub(super) fn forget_oldest(&self, count: u64) -> rusqlite::Result<u64> {
        let mut statement = self.connection.prepare_cached(FORGET_OLDEST)?;
        Ok(statement.execute([to_sql(count)])? as u64)
    }

    /// Writes the new totals, `before` plus `change`, of the counters in `change`.
    pub(super) fn put_requests(
        &self,
        reporter: Reporter,
        change: &ApplicationCounts,
        before: &ApplicationCounts,
    ) -> rusqlite::Result<()> {
        let nothing = RequestCounts::default();
        for (component, change) in change.iter() {
            let id = self.component_id(reporter, component)?;
            let before = before.get(component).unwrap_or(&nothing);
            self.put_component(id, change, before)?;
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

    fn put_component(
        &self,
        id: i64,
        change: &RequestCounts,
        before: &RequestCounts,
    ) -> rusqlite::Result<()> {
        for (labels, count) in &change.requests {
            let RequestLabels {
                endpoint,
                method,
                status,
            } = labels;
            let count = before
                .requests
                .get(labels)
                .map_or(0, |count| *count)
                .saturating_add(*count);
            let values = params![id, endpoint, method, status.to_string(), to_sql(count)];
            self.put(PUT_REQUESTS, values)?;
        }
        for (endpoint, gain) in &change.latency {
            let mut histogram = before.latency.get(endpoint).copied().unwrap_or_default();
            histogram.merge(gain);
            let values = params![
                id,
                endpoint,
                json(&histogram.buckets),
                to_sql(histogram.sum_nanos)
            ];
            self.put(PUT_LATENCY, values)?;
        }
        let mut totals = vec![
            (ERRORS, before.errors, change.errors),
            (OVERFLOWED, before.overflowed, change.overflowed),
            (LOST, before.lost, change.lost),
        ];
        for (failure, gain) in &change.component_failures {
            let before = before.component_failures.get(failure).copied();
            totals.push((failure.as_str(), before.unwrap_or_default(), *gain));
        }
        for (name, before, gain) in totals {
            if gain > 0 {
                let values = params![id, name, to_sql(before.saturating_add(gain))];
                self.put(PUT_TOTAL, values)?;
            }
        }
        Ok(())
    }

    pub(super) fn put_otlp(&self, replacement: &Replacement) -> rusqlite::Result<()> {
        let mut changed = vec![];
        for (name, metric) in &replacement.metrics {
            if metric.new > 0 {
                self.put(PUT_METRIC, params![name, metric.kind.as_str(), metric.help])?;
            }
            for (labels, series) in &metric.series {
                if let SeriesValue::Sum(sum) = &series.value {
                    changed.push((series.id, name, labels, series, sum));
                }
            }
        }
        // In the order of the table, so that neighbours share a page and a search.
        changed.sort_unstable_by_key(|(id, ..)| *id);
        let mut update = self.connection.prepare_cached(UPDATE_SUM)?;
        for (id, name, labels, series, sum) in changed {
            let (id, stored) = (to_sql(id), binary(&stored(series, sum)));
            let values = params![id, to_sql(series.seen), stored];
            if update.execute(values)? == 0 {
                self.put(PUT_SERIES, params![id, name, json(labels)])?;
                self.put(PUT_SUM, values)?;
            }
        }
        Ok(())
    }

    pub(super) fn forget_otlp(&self, expired: &Expired) -> rusqlite::Result<()> {
        for id in &expired.series {
            self.put(FORGET_SERIES, params![to_sql(*id)])?;
            self.put(FORGET_SUM, params![to_sql(*id)])?;
        }
        if !expired.series.is_empty() {
            self.put(FORGET_METRICS, params![])?;
        }
        let mut legacy = expired.legacy.iter();
        legacy.try_for_each(|id| self.put(FORGET_LEGACY_TRACK, params![id]))
    }

    fn put(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn read(&mut self) -> Result<State, Reason> {
        let (senders, last_seen): (i64, i64) =
            self.connection
                .query_row(COUNT_SENDERS, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let otlp_seen: i64 = self.connection.query_row(OTLP_SEEN, [], |row| row.get(0))?;
        self.last_seen = from_sql(last_seen.max(otlp_seen));
        Ok(State {
            reported: self.read_requests(Reporter::Component)?,
            host: self.read_requests(Reporter::Host)?,
            otlp: self.read_otlp()?,
            senders: from_sql(senders),
            ..State::default()
        })
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

    fn read_otlp(&self) -> Result<OtlpSeries, Reason> {
        let mut metrics = BTreeMap::<String, MetricSeries>::new();
        let mut statement = self.connection.prepare(ALL_SERIES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, labels): (String, String) = (row.get(1)?, row.get(3)?);
            let kind = Kind::ALL
                .into_iter()
                .find(|known| known.as_str() == kind)
                .ok_or_else(|| Reason::Damaged(format!("type {kind:?} in otlp_metrics")))?;
            let help = row.get(2)?;
            let metric = metrics.entry(row.get(0)?).or_insert(MetricSeries {
                kind,
                help,
                series: BTreeMap::new(),
            });
            let series = self.read_sum(row)?;
            metric.series.insert(parse("otlp_series", &labels)?, series);
        }
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
        Ok(OtlpSeries::restore(metrics, legacy))
    }

    fn read_sum(&self, row: &Row<'_>) -> Result<Series, Reason> {
        let (id, seen) = (from_sql(row.get(4)?), from_sql(row.get(5)?));
        let damaged = |error: &dyn Display| Reason::Damaged(format!("otlp_sums: {error}"));
        let restore = |amount| Series::restore(id, amount, seen, self.last_seen);
        match row.get_ref(6)? {
            // Of schema 2.
            ValueRef::Text(text) => serde_json::from_slice(text)
                .map(restore)
                .map_err(|error| damaged(&error)),
            ValueRef::Blob(bytes) => {
                let (amount, ended, origin, tracks) =
                    postcard::from_bytes::<Stored<Amount, Vec<Track>>>(bytes)
                        .map_err(|error| damaged(&error))?;
                let mut series = restore(amount);
                (series.ended, series.origin, series.tracks) = (ended, origin, tracks);
                Ok(series)
            }
            other => Err(damaged(&other.data_type())),
        }
    }
}

/// Checks that the file is an intact journal.
fn check(connection: &Connection) -> Result<(), Reason> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    if id != i64::from(APPLICATION_ID) && (id != 0 || version != 0 || tables != 0) {
        return Err(Reason::Foreign);
    }
    if version > MIGRATIONS.len() as i64 {
        return Err(Reason::Newer { found: version });
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match &*found {
        "ok" => Ok(()),
        _ => Err(Reason::Damaged(found)),
    }
}

/// Migrates the schema to `version`.
fn migrate(connection: &mut Connection, version: usize) -> Result<(), Reason> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    let found = usize::try_from(found).map_err(|_| Reason::Damaged(format!("schema {found}")))?;
    for (index, migration) in MIGRATIONS.iter().enumerate().take(version).skip(found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

/// Converts to SQLite's signed integers, saturating.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A sum as it is stored: amount, whether it ended, origin, tracks.
type Stored<A, T> = (A, bool, u64, T);

fn stored<'a>(series: &'a Series, sum: &'a Sum) -> Stored<&'a Amount, &'a [Track]> {
    (&sum.amount, series.ended, series.origin, &series.tracks)
}

fn binary(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("memory takes all bytes")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and strings always serialize")
}

fn parse<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, Reason> {
    serde_json::from_str(text).map_err(|error| Reason::Damaged(format!("{table}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use otlp::{Family, Folded, Point, PointValue, SeriesLimits, Stream};
    use request_counts::LabelSpace;
    use std::{fs, os::unix::fs::FileExt, sync::Arc};

    const LIMITS: SeriesLimits = SeriesLimits {
        space: LabelSpace {
            max_series: 10,
            max_label_len: 10,
        },
        max_metrics: 10,
    };

    /// A total of the counter `n_total`.
    fn total(stream: Stream, number: f64) -> Point {
        Point {
            family: Arc::new(Family {
                name: "n_total".into(),
                kind: Kind::Counter,
                help: "Help.".into(),
                origin: 1,
            }),
            labels: vec![],
            stream,
            start_unix_nanos: 7,
            time_unix_nanos: 10,
            value: PointValue::Total(Amount::Number(number)),
        }
    }

    fn failure(path: &Path) -> String {
        let error = anyhow::Error::new(Store::open(path).unwrap_err());
        format!("{error:#}")
    }

    #[test]
    fn an_older_journal_is_migrated_with_all_its_counters() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, 1).unwrap();
        connection
            .execute_batch(
                "INSERT INTO requests VALUES ('component', '/items', 'GET', '200', 7);
                 INSERT INTO latency VALUES ('component', '/items', '[7,0,0,0,0,0,0,0,0,0,0,0,0,0,0]', 3500000);
                 INSERT INTO totals VALUES ('component', 'trap', 2), ('component', 'lost', 5), ('host', 'errors', 1);
                 INSERT INTO senders VALUES ('i', 3, x'00', 12);",
            )
            .unwrap();
        drop(connection);
        let (store, state) = Store::open(&path).unwrap();
        let unnamed = state.reported.get(&Component::default()).unwrap();
        assert_eq!(unnamed.requests.values().sum::<u64>(), 7);
        assert_eq!(unnamed.latency["/items"].count(), 7);
        assert_eq!(unnamed.component_failures[&ComponentFailure::Trap], 2);
        assert_eq!(unnamed.lost, 5);
        assert_eq!(
            store.last_batch("i").unwrap().map(|last| last.sequence),
            Some(3)
        );
        assert_eq!((store.last_seen, state.senders), (12, 1));
        assert!(state.otlp.metrics().is_empty());
    }

    #[test]
    fn the_series_of_schema_2_keep_what_was_counted_under_the_new_labels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, 2).unwrap();
        connection
            .execute_batch(
                r#"INSERT INTO senders VALUES ('i', 3, x'00', 12);
                 INSERT INTO otlp_metrics VALUES ('n_total', 'counter', 'Help.'), ('h', 'histogram', 'Help.');
                 INSERT INTO otlp_series VALUES
                     ('n_total', '[["kind","\"é\n"],["service_name","shop"]]', '{"number":109.5}'),
                     ('n_total', '[["job","own"],["service_name","shop"]]', '{"number":1.0}'),
                     ('h', '[["service_instance_id","i"],["service_name","shop"],["z","1"]]',
                      '{"histogram":{"bounds":[1.0],"counts":[2,3],"sum":9.5}}');
                 INSERT INTO otlp_streams VALUES (x'01010101010101010101010101010101', 7, 9, '{"number":100.0}', 34);"#,
            )
            .unwrap();
        drop(connection);
        let (store, state) = Store::open(&path).unwrap();
        assert_eq!(store.last_seen, 34);
        assert_eq!(state.otlp.tracks(), 1);
        let series = |metric: &str| {
            let series = state.otlp.metrics()[metric].series.iter();
            let series = series.map(|(labels, series)| match &series.value {
                SeriesValue::Sum(sum) => {
                    assert_eq!((series.ended, series.seen, series.origin), (false, 34, 0));
                    (json(labels), json(&sum.amount))
                }
                other => panic!("{other:?}"),
            });
            series.collect::<Vec<_>>()
        };
        let shown = |labels: &str, amount: &str| (labels.to_owned(), amount.to_owned());
        assert_eq!(
            series("n_total"),
            [
                shown(
                    r#"[["job","own"],["service_name","shop"]]"#,
                    r#"{"number":1.0}"#
                ),
                shown(
                    r#"[["job","shop"],["kind","\"é\n"]]"#,
                    r#"{"number":109.5}"#
                ),
            ]
        );
        assert_eq!(
            series("h"),
            [shown(
                r#"[["instance","i"],["job","shop"],["z","1"]]"#,
                r#"{"histogram":{"bounds":[1.0],"counts":[2,3],"sum":9.5}}"#
            )]
        );
        // The sender goes on: the increase is added once, also after a restart.
        let stream = Stream {
            id: [2; 16],
            legacy_id: [1; 16],
        };
        let mut point = total(stream, 110.0);
        point.labels = vec![
            ("job".into(), "shop".into()),
            ("kind".into(), "\"é\n".into()),
        ];
        for expected in [Folded::Counted, Folded::Skipped("repeated")] {
            let (store, state) = Store::open(&path).unwrap();
            let mut replacement = Replacement::default();
            let folded = state
                .otlp
                .fold(&mut replacement, point.clone(), &LIMITS, 34);
            assert_eq!(folded, Ok(expected));
            store.put_otlp(&replacement).unwrap();
        }
        let (_, state) = Store::open(&path).unwrap();
        let series = &state.otlp.metrics()["n_total"].series[&point.labels];
        let SeriesValue::Sum(sum) = &series.value else {
            panic!("{series:?}")
        };
        assert_eq!(sum.amount, Amount::Number(119.5));
    }

    #[test]
    fn forgotten_series_are_not_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let (store, mut state) = Store::open(&path).unwrap();
        let point = total(Stream::default(), 1.0);
        let mut replacement = Replacement::default();
        let folded = state.otlp.fold(&mut replacement, point, &LIMITS, 5);
        assert_eq!(folded, Ok(Folded::Counted));
        store.put_otlp(&replacement).unwrap();
        state.otlp.replace(replacement);
        let (again, read) = Store::open(&path).unwrap();
        assert_eq!(
            (again.last_seen, read.otlp.tracks(), read.otlp.series()),
            (5, 1, 1)
        );
        store.forget_otlp(&state.otlp.expire(100_000)).unwrap();
        let (again, read) = Store::open(&path).unwrap();
        assert_eq!(
            (again.last_seen, read.otlp.tracks(), read.otlp.series()),
            (0, 0, 0)
        );
        let metrics = "SELECT count(*) FROM otlp_metrics";
        let metrics = again
            .connection
            .query_row(metrics, [], |row| row.get::<_, i64>(0));
        assert_eq!(metrics, Ok(0));
    }

    #[test]
    fn an_unusable_file_is_named_and_left_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let in_journal = |sql: &str| {
            let (store, _) = Store::open(&path).unwrap();
            store.connection.execute_batch(sql).unwrap();
        };
        type Make<'a> = &'a dyn Fn();
        let cases: [(&str, Make<'_>); 5] = [
            ("newer metrics-host (schema 99", &|| {
                in_journal("PRAGMA user_version = 99")
            }),
            ("not a journal of metrics-host", &|| {
                Connection::open(&path)
                    .unwrap()
                    .execute_batch("CREATE TABLE t (x)")
                    .unwrap();
            }),
            ("damaged", &|| {
                fs::write(
                    &path,
                    "no database at all, and longer than its header would be: ".repeat(9),
                )
                .unwrap()
            }),
            ("damaged", &|| {
                in_journal("INSERT INTO components VALUES (1, 'component', '', '')");
                in_journal("INSERT INTO component_totals VALUES (1, 'nonsense', 1)");
            }),
            ("damaged", &|| {
                in_journal("PRAGMA wal_checkpoint(TRUNCATE)");
                let file = fs::File::options().write(true).open(&path).unwrap();
                file.write_all_at(&[0xff; 4096], 4096).unwrap();
            }),
        ];
        for (index, (expected, make)) in cases.into_iter().enumerate() {
            make();
            let before = fs::read(&path).unwrap();
            let error = failure(&path);
            assert!(error.contains(expected), "case {index}: {error}");
            assert!(error.contains("journal.sqlite"), "case {index}: {error}");
            assert_eq!(fs::read(&path).unwrap(), before, "case {index}");
            for file in fs::read_dir(dir.path()).unwrap() {
                fs::remove_file(file.unwrap().path()).unwrap();
            }
        }
    }
}
