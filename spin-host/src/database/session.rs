//! A guest's connection to a database.

use super::{
    Answer, Database, DatabaseError, connection,
    statement::{Need, need},
};
use rusqlite::{Connection, types::Value};
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a read may hold up the thread it is called on before it moves to a blocking one.
const INLINE_READ: Duration = Duration::from_millis(2);

/// What a guest opened. Statements of one session may run at one time, as the requests of an instance do.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Arc<Database>,
    own: OnceLock<Arc<Mutex<Connection>>>,
    last_insert_rowid: AtomicI64,
    changes: AtomicU64,
}

impl Session {
    /// Opens a session.
    pub(crate) fn open(database: Arc<Database>) -> Self {
        Self(Arc::new(Inner {
            database,
            own: OnceLock::new(),
            last_insert_rowid: AtomicI64::new(0),
            changes: AtomicU64::new(0),
        }))
    }

    /// Executes a statement; what it wrote is on disk when this returns, unless the guest began a transaction.
    ///
    /// # Errors
    /// If SQLite refuses, or a limit is reached.
    pub(crate) async fn execute(
        &self,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Answer, DatabaseError> {
        let answer = match (self.0.own.get(), need(&sql)) {
            (Some(own), _) => {
                self.execute_on_own(Arc::clone(own), sql, parameters)
                    .await?
            }
            (None, Need::OwnConnection) => {
                let own = Arc::new(Mutex::new(connection::open(&self.0.database.path)?));
                let own = Arc::clone(self.0.own.get_or_init(|| own));
                self.execute_on_own(own, sql, parameters).await?
            }
            (None, Need::Writer) => self.0.database.writer.execute(sql, parameters).await?,
            (None, Need::Reader) => return self.read(sql, parameters).await,
        };
        self.0
            .last_insert_rowid
            .store(answer.last_insert_rowid, Relaxed);
        self.0.changes.store(answer.changes, Relaxed);
        Ok(answer)
    }

    /// Returns the rowid of the session's last insert, 0 before the first.
    pub(crate) fn last_insert_rowid(&self) -> i64 {
        self.0.last_insert_rowid.load(Relaxed)
    }

    /// Returns how many rows the session's last write changed.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Relaxed)
    }

    async fn read(&self, sql: String, parameters: Vec<Value>) -> Result<Answer, DatabaseError> {
        let database = &self.0.database;
        let mut reader = database.take_reader()?;
        // `WITH` begins reads and writes alike.
        if !connection::is_read_only(&reader, &sql)? {
            database.put_back(reader);
            return database.writer.execute(sql, parameters).await;
        }
        let limits = database.limits;
        match connection::execute(
            &mut reader,
            &sql,
            &parameters,
            INLINE_READ,
            limits.max_answer,
        ) {
            Err(DatabaseError::Timeout(_)) => {}
            result => {
                database.put_back(reader);
                return result;
            }
        }
        let long = move || {
            let time = limits.statement_timeout;
            let result =
                connection::execute(&mut reader, &sql, &parameters, time, limits.max_answer);
            (reader, result)
        };
        let (reader, result) = on_blocking_thread(long).await?;
        database.put_back(reader);
        result
    }

    async fn execute_on_own(
        &self,
        own: Arc<Mutex<Connection>>,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Answer, DatabaseError> {
        let limits = self.0.database.limits;
        on_blocking_thread(move || {
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            connection::execute(
                &mut own,
                &sql,
                &parameters,
                limits.statement_timeout,
                limits.max_answer,
            )
        })
        .await?
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DatabaseError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| DatabaseError::Sqlite(format!("the statement was abandoned: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SECOND: Duration = Duration::from_secs(1);

    async fn database() -> (tempfile::TempDir, Arc<Database>) {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&dir.path().join("db"), SECOND, 1 << 20).unwrap();
        let session = Session::open(Arc::clone(&database));
        let table = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER UNIQUE)";
        session.execute(table.into(), vec![]).await.unwrap();
        (dir, database)
    }

    async fn run(session: &Session, sql: &str) -> Result<Vec<Vec<Value>>, DatabaseError> {
        session
            .execute(sql.into(), vec![])
            .await
            .map(|answer| answer.rows)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_writes_are_all_kept_and_each_gets_its_own_answer() {
        let (_dir, database) = database().await;
        let writes = (0..500).map(|n| {
            let session = Session::open(Arc::clone(&database));
            tokio::spawn(async move {
                let sql = "INSERT INTO t (n) VALUES (?) RETURNING id, n".to_owned();
                let answer = session.execute(sql, vec![Value::Integer(n)]).await.unwrap();
                assert_eq!(answer.rows[0][1], Value::Integer(n));
                assert_eq!(
                    answer.rows[0][0],
                    Value::Integer(session.last_insert_rowid())
                );
                session.last_insert_rowid()
            })
        });
        let ids: BTreeSet<_> = futures::future::join_all(writes)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(ids.len(), 500);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failing_write_fails_alone_even_if_it_ends_the_shared_transaction() {
        let (_dir, database) = database().await;
        let session = Session::open(database);
        run(&session, "INSERT INTO t (n) VALUES (-1)")
            .await
            .unwrap();
        let writes = (0..100).map(|n| {
            let session = session.clone();
            tokio::spawn(async move {
                match n % 3 {
                    0 => run(&session, "INSERT INTO t (n) VALUES (-1)")
                        .await
                        .is_err(),
                    1 => run(&session, "INSERT OR ROLLBACK INTO t (n) VALUES (-1)")
                        .await
                        .is_err(),
                    _ => run(&session, &format!("INSERT INTO t (n) VALUES ({n})"))
                        .await
                        .is_ok(),
                }
            })
        });
        for result in futures::future::join_all(writes).await {
            assert!(result.unwrap());
        }
        assert_eq!(
            run(&session, "SELECT count(*) FROM t").await.unwrap(),
            [[Value::Integer(34)]]
        );
    }

    #[tokio::test]
    async fn a_transaction_belongs_to_its_session() {
        let (_dir, database) = database().await;
        let (one, two) = (
            Session::open(Arc::clone(&database)),
            Session::open(database),
        );
        for sql in ["BEGIN", "INSERT INTO t (n) VALUES (1)"] {
            run(&one, sql).await.unwrap();
        }
        assert_eq!(
            run(&one, "SELECT n FROM t").await.unwrap(),
            [[Value::Integer(1)]]
        );
        assert_eq!(
            run(&two, "SELECT n FROM t").await.unwrap(),
            [] as [Vec<Value>; 0]
        );
        drop(one);
        run(&two, "INSERT INTO t (n) VALUES (1)").await.unwrap();
    }

    #[tokio::test]
    async fn limits_are_kept() {
        let (dir, database) = database().await;
        let session = Session::open(database);
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n";
        assert_eq!(
            run(&session, endless).await,
            Err(DatabaseError::Timeout(SECOND))
        );
        let large = run(&session, "SELECT zeroblob(2000000)").await.unwrap_err();
        assert_eq!(large.to_string(), "answer exceeds 1048576 bytes");
        let other = format!("ATTACH '{}' AS other", dir.path().join("other").display());
        assert_eq!(
            run(&session, &other).await,
            Err(DatabaseError::AccessDenied)
        );
        let with_write = "WITH x(i) AS (VALUES (7)) INSERT INTO t (n) SELECT i FROM x RETURNING n";
        let fresh = Session::open(Arc::clone(&session.0.database));
        assert_eq!(
            run(&fresh, with_write).await.unwrap(),
            [[Value::Integer(7)]]
        );
    }
}
