//! The database: opening, integrity checks, schema migrations, transactions.

use super::{
    checkpoint::Pending,
    entry::Entry,
    log::{self, End},
    state::State,
};
use request_counts::Component;
use rusqlite::{Connection, OpenFlags};
use std::{
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Marks the file as a journal: "mhjl".
const APPLICATION_ID: i32 = 0x6d68_6a6c;
/// Migrations in order; the n-th makes schema version n. A released migration never changes.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001_requests.sql"),
    include_str!("migrations/0002_otlp.sql"),
    include_str!("migrations/0003_components.sql"),
    include_str!("migrations/0004_otlp_sums.sql"),
    include_str!("migrations/0005_log.sql"),
    include_str!("migrations/0006_identity.sql"),
];
/// Largest write-ahead log that SQLite keeps after copying it to the database, in bytes.
const WAL_SIZE: i64 = 16 << 20;
/// Prepared statements to keep; more than there are.
const STATEMENT_CACHE: usize = 32;

const IDENTITY: &str = "SELECT id FROM identity";

/// An error of [`crate::Journal::open`].
#[derive(Debug, thiserror::Error)]
#[error("journal {}", path.display())]
pub struct JournalError {
    path: PathBuf,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
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

/// The open database.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    /// The end of the log.
    pub(super) log: End,
    /// Ids of components by reporter, also of those that the transaction in progress adds.
    pub(super) component_ids: RefCell<[HashMap<Component, i64>; 2]>,
    /// A random name that the journal got when its file was made.
    pub(super) identity: String,
}

/// A database that was opened and read.
pub(super) struct Opened {
    pub(super) store: Store,
    /// The committed counters.
    pub(super) state: State,
    /// Changes that are only in the log.
    pub(super) pending: Pending,
    /// When a sender was last seen, in seconds of the host's uptime.
    pub(super) last_seen: u64,
}

impl Store {
    /// Opens or creates the database and reads the committed state.
    pub(super) fn open(path: &Path) -> Result<Opened, JournalError> {
        Self::open_and_read(path).map_err(|reason| JournalError {
            path: path.to_owned(),
            reason: match reason {
                Reason::Sqlite(error) if is_damage(&error) => Reason::Damaged(error.to_string()),
                reason => reason,
            },
        })
    }

    fn open_and_read(path: &Path) -> Result<Opened, Reason> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        check(&connection)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // With `full`, a commit returns after the write-ahead log is synced to disk.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "journal_size_limit", WAL_SIZE)?;
        migrate(&mut connection, MIGRATIONS.len())?;
        let mut store = Self {
            identity: connection.query_row(IDENTITY, [], |row| row.get(0))?,
            connection,
            log: End::default(),
            component_ids: RefCell::default(),
        };
        let mut pending = Pending::default();
        let (mut state, mut last_seen) = store.read(&mut pending)?;
        store.log = log::replay(&store.connection, |bytes| {
            let (entry, series) = Entry::decode(bytes)?;
            last_seen = last_seen.max(entry.uptime);
            state.set(entry, &mut pending);
            for image in series {
                state.set_series(image, &mut pending);
            }
            Ok(())
        })?;
        Ok(Opened {
            store,
            state,
            pending,
            last_seen,
        })
    }

    /// Runs `write` in a transaction. On success it is on disk; otherwise nothing of it is.
    pub(super) fn transaction(
        &self,
        write: impl FnOnce(&Self) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let written = write(self).and_then(|()| self.connection.execute_batch("COMMIT"));
        if written.is_err() {
            self.component_ids.take();
            // SQLite may have rolled it back itself.
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "cannot roll back");
            }
        }
        written
    }

    /// Empties SQLite's write-ahead log if the database has room for what is in it: after a write to a full disk failed,
    /// the next one may find room there.
    pub(super) fn empty_wal(&self) {
        let emptied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = emptied {
            tracing::debug!(%error, "cannot empty the write-ahead log");
        }
    }

    /// Writes an unchanged value, to find out whether the disk accepts writes.
    pub(super) fn probe(&self) -> rusqlite::Result<()> {
        self.connection
            .pragma_update(None, "user_version", MIGRATIONS.len() as i64)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{CheckpointLimits, Checkpoints};
    use metric::Kind;
    use otlp::{
        Amount, Family, Folded, Identity, OtlpSeries, Point, PointValue, Replacement, Series,
        SeriesLimits, SeriesValue, Stream,
    };
    use request_counts::{ComponentFailure, LabelSpace};
    use std::{
        fs,
        os::unix::fs::FileExt,
        sync::{Arc, Mutex},
    };

    const LIMITS: SeriesLimits = SeriesLimits {
        space: LabelSpace {
            max_series: 10,
            max_label_len: 10,
        },
        max_metrics: 10,
        max_series: 10,
    };

    /// A total of the counter `n_total`.
    fn total(labels: &[(&str, &str)], stream: Stream, number: f64) -> Point {
        let family = Family {
            name: "n_total".into(),
            kind: Kind::Counter,
            help: "Help.".into(),
            origin: 1,
        };
        let labels = labels.iter().copied().collect();
        Point {
            identity: Arc::new(Identity::new(Arc::new(family), labels, stream)),
            start_unix_nanos: 7,
            time_unix_nanos: 10,
            value: PointValue::Total(Amount::Number(number)),
        }
    }

    /// Folds a point, and appends it to the log.
    fn fold(opened: &mut Opened, point: Point, uptime: u64) -> Folded {
        let mut replacement = Replacement::default();
        let series = &mut opened.state.otlp;
        let folded = series.fold(&mut replacement, point, &LIMITS, uptime);
        let entry = Entry {
            uptime,
            ..Entry::default()
        };
        if let Some(bytes) = entry.encode(&replacement) {
            opened.store.append(&bytes).unwrap();
        }
        series.replace(replacement);
        folded.unwrap()
    }

    /// Writes a whole checkpoint.
    fn checkpoint(opened: Opened) -> Opened {
        let Opened {
            mut store,
            state,
            pending,
            last_seen,
        } = opened;
        let state = Mutex::new(state);
        Checkpoints::new(pending, CheckpointLimits::default())
            .write(&mut store, &state)
            .unwrap();
        Opened {
            store,
            state: state.into_inner().unwrap(),
            pending: Pending::default(),
            last_seen,
        }
    }

    fn one<'a>(otlp: &'a OtlpSeries, metric: &str) -> Vec<(String, &'a Series)> {
        let mut metrics = otlp.metrics();
        let (_, series) = metrics.find(|(known, _)| known.name == metric).unwrap();
        series
            .map(|(labels, series)| (labels.as_str().to_owned(), series))
            .collect()
    }

    fn failure(path: &Path) -> String {
        match Store::open(path) {
            Ok(_) => panic!("it was opened"),
            Err(error) => format!("{:#}", anyhow::Error::new(error)),
        }
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
                 INSERT INTO senders VALUES ('i', 3, zeroblob(32), 12);",
            )
            .unwrap();
        drop(connection);
        let Opened {
            state, last_seen, ..
        } = Store::open(&path).unwrap();
        let unnamed = state.reported.get(&Component::default()).unwrap();
        assert_eq!(unnamed.requests.values().sum::<u64>(), 7);
        assert_eq!(unnamed.latency["/items"].count(), 7);
        assert_eq!(unnamed.component_failures[&ComponentFailure::Trap], 2);
        assert_eq!(unnamed.lost, 5);
        assert_eq!(state.senders.get("i").map(|last| last.sequence), Some(3));
        assert_eq!((last_seen, state.senders()), (12, 1));
        assert_eq!(state.otlp.series(), 0);
    }

    /// Also of the release before: its last migration is the fourth.
    #[test]
    fn the_series_of_schema_2_keep_what_was_counted_under_the_new_labels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, 2).unwrap();
        connection
            .execute_batch(
                r#"INSERT INTO senders VALUES ('i', 3, zeroblob(32), 12);
                 INSERT INTO otlp_metrics VALUES ('n_total', 'counter', 'Help.'), ('h', 'histogram', 'Help.');
                 INSERT INTO otlp_series VALUES
                     ('n_total', '[["kind","\"é\n\\"],["service_name","shop"]]', '{"number":109.5}'),
                     ('n_total', '[["job","own"],["service_name","shop"]]', '{"number":1.0}'),
                     ('n_total', '[]', '{"number":2.0}'),
                     ('h', '[["service_instance_id","i"],["service_name","shop"],["z","1"]]',
                      '{"histogram":{"bounds":[1.0],"counts":[2,3],"sum":9.5}}');
                 INSERT INTO otlp_streams VALUES (x'01010101010101010101010101010101', 7, 9, '{"number":100.0}', 34);"#,
            )
            .unwrap();
        drop(connection);
        let Opened {
            state, last_seen, ..
        } = Store::open(&path).unwrap();
        assert_eq!(last_seen, 34);
        assert_eq!(state.otlp.tracks(), 1);
        let series = |metric: &str| {
            let series = one(&state.otlp, metric).into_iter();
            let series = series.map(|(labels, series)| match &series.value {
                SeriesValue::Sum(sum) => {
                    assert_eq!((series.ended, series.seen, series.origin), (false, 34, 0));
                    (labels, serde_json::to_string(&sum.amount).unwrap())
                }
                other => panic!("{other:?}"),
            });
            series.collect::<Vec<_>>()
        };
        let shown = |labels: &str, amount: &str| (labels.to_owned(), amount.to_owned());
        assert_eq!(
            series("n_total"),
            [
                shown("", r#"{"number":2.0}"#),
                shown(r#"job="own",service_name="shop""#, r#"{"number":1.0}"#),
                shown(r#"job="shop",kind="\"é\n\\""#, r#"{"number":109.5}"#),
            ]
        );
        assert_eq!(
            series("h"),
            [shown(
                r#"instance="i",job="shop",z="1""#,
                r#"{"histogram":{"bounds":[1.0],"counts":[2,3],"sum":9.5}}"#
            )]
        );
        // The sender goes on: the increase is added once, also after a restart, from the log and from the tables.
        let stream = Stream {
            id: [2; 16],
            legacy_id: [1; 16],
        };
        let labels = [("job", "shop"), ("kind", "\"é\n\\")];
        let point = total(&labels, stream, 110.0);
        let text = point.identity.labels.as_str();
        let amount = |opened: &Opened| {
            let all = one(&opened.state.otlp, "n_total");
            let (_, series) = all.into_iter().find(|(labels, _)| labels == text).unwrap();
            match &series.value {
                SeriesValue::Sum(sum) => sum.amount.clone(),
                other => panic!("{other:?}"),
            }
        };
        for expected in [Folded::Counted, Folded::Skipped("repeated")] {
            let mut opened = Store::open(&path).unwrap();
            assert_eq!(fold(&mut opened, point.clone(), 34), expected);
        }
        let opened = checkpoint(Store::open(&path).unwrap());
        assert_eq!(amount(&opened), Amount::Number(119.5));
        drop(opened);
        let mut opened = Store::open(&path).unwrap();
        assert!(opened.pending.series.is_empty(), "all is in the tables");
        assert_eq!(amount(&opened), Amount::Number(119.5));
        let repeated = fold(&mut opened, point.clone(), 34);
        assert_eq!(repeated, Folded::Skipped("repeated"));
    }

    #[test]
    fn forgotten_series_are_not_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let mut opened = Store::open(&path).unwrap();
        fold(&mut opened, total(&[], Stream::default(), 1.0), 5);
        drop(opened);
        let mut opened = checkpoint(Store::open(&path).unwrap());
        let counts = |opened: &Opened| {
            let otlp = &opened.state.otlp;
            (opened.last_seen, otlp.tracks(), otlp.series())
        };
        assert_eq!(counts(&opened), (5, 1, 1));
        let expired = opened.state.otlp.expire(100_000);
        opened.pending.forget(expired);
        drop(checkpoint(opened));
        let again = Store::open(&path).unwrap();
        assert_eq!(counts(&again), (0, 0, 0));
        let metrics = "SELECT count(*) FROM otlp_metrics";
        let metrics = again
            .store
            .connection
            .query_row(metrics, [], |row| row.get::<_, i64>(0));
        assert_eq!(metrics, Ok(0));
    }

    #[test]
    fn an_unusable_file_is_named_and_left_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let in_journal = |sql: &str| {
            let store = Store::open(&path).unwrap().store;
            store.connection.execute_batch(sql).unwrap();
        };
        type Make<'a> = &'a dyn Fn();
        let cases: [(&str, Make<'_>); 7] = [
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
            ("damaged (entry 1 of the log: wrong checksum)", &|| {
                in_journal("INSERT INTO log VALUES (1, 0, x'00')");
            }),
            ("damaged (entry 1 of the log: ", &|| {
                // The checksum of the byte 0.
                in_journal("INSERT INTO log VALUES (1, 3523407757, x'00')");
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
