//! Items in SQLite: many readers, and one writer thread that commits all waiting writes in one transaction.

use anyhow::{Context, Result};
use rusqlite::{Connection, Params, Row, config::DbConfig};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

const CREATE_TABLE: &str = include_str!("../../../../items-component/migrations/sqlite.sql");
pub(crate) const LIST: &str = "SELECT id, name FROM items WHERE id > ? ORDER BY id LIMIT ?";
pub(crate) const CREATE: &str = "INSERT INTO items (name) VALUES (?) RETURNING id, name";
pub(crate) const READ: &str = "SELECT id, name FROM items WHERE id = ?";
pub(crate) const REPLACE: &str = "UPDATE items SET name = ? WHERE id = ? RETURNING id, name";
pub(crate) const DELETE: &str = "DELETE FROM items WHERE id = ? RETURNING id, name";

/// Limit of waiting writes, and of writes in a transaction.
const QUEUE: usize = 1024;
/// Longest wait for the transaction of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) name: String,
}

pub(crate) struct Store {
    path: PathBuf,
    idle_readers: Mutex<Vec<Connection>>,
    writer: mpsc::Sender<Job>,
}

type Written = rusqlite::Result<Option<Item>>;

struct Job {
    write: Box<dyn FnOnce(&Connection) -> Written + Send>,
    answer: oneshot::Sender<Written>,
}

impl Store {
    /// Opens the file; creates it if it is missing.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let mut connection = connect(path)?;
        connection.execute_batch(CREATE_TABLE)?;
        let (writer, mut queue) = mpsc::channel(QUEUE);
        thread::spawn(move || {
            let mut jobs = Vec::with_capacity(QUEUE);
            while queue.blocking_recv_many(&mut jobs, QUEUE) > 0 {
                if let Err(error) = commit(&mut connection, &mut jobs) {
                    eprintln!("native: cannot commit: {error}");
                    jobs.clear();
                }
            }
        });
        Ok(Self {
            path: path.to_owned(),
            idle_readers: Mutex::default(),
            writer,
        })
    }

    /// Queues a write and waits until it is on disk.
    pub(crate) async fn write(
        &self,
        sql: &'static str,
        parameters: impl Params + Send + 'static,
    ) -> Result<Option<Item>> {
        let (answer, answered) = oneshot::channel();
        let write = Box::new(move |writer: &Connection| Ok(query(writer, sql, parameters)?.pop()));
        let sent = self.writer.send(Job { write, answer }).await;
        sent.ok().context("the writer has ended")?;
        Ok(answered.await.context("the commit failed")??)
    }

    /// Reads at once: it blocks for microseconds, and a switch of threads would take longer.
    pub(crate) fn read(&self, sql: &str, parameters: impl Params) -> Result<Vec<Item>> {
        let idle = || self.idle_readers.lock().expect("no holder panics");
        let taken = idle().pop();
        let reader = taken.map_or_else(|| connect(&self.path), Ok)?;
        let items = query(&reader, sql, parameters);
        idle().push(reader);
        Ok(items?)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Like metrics-host: SQLite does not plan `LIMIT ?` again for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Runs `jobs` in one transaction and answers each after the commit. After a failure they are dropped, which fails
/// their requests.
fn commit(connection: &mut Connection, jobs: &mut Vec<Job>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let written = jobs
        .drain(..)
        .map(|job| ((job.write)(&transaction), job.answer));
    let written: Vec<_> = written.collect();
    transaction.commit()?;
    for (result, answer) in written {
        // The receiver is gone if the client left.
        _ = answer.send(result);
    }
    Ok(())
}

fn query(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<Vec<Item>> {
    let mut statement = connection.prepare_cached(sql)?;
    let item = |row: &Row<'_>| {
        Ok(Item {
            id: row.get(0)?,
            name: row.get(1)?,
        })
    };
    statement.query_map(parameters, item)?.collect()
}
