//! Items in SQLite: readers beside one writer, which commits all that wait for it in one transaction.

use rusqlite::{Connection, Params, Row, config::DbConfig};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

const CREATE_TABLE: &str =
    include_str!("../../../../items-component/migrations/0001_create_items.sql");
const LIST: &str = "SELECT id, name FROM items WHERE id > ? ORDER BY id LIMIT ?";
const CREATE: &str = "INSERT INTO items (name) VALUES (?) RETURNING id, name";
const READ: &str = "SELECT id, name FROM items WHERE id = ?";
const REPLACE: &str = "UPDATE items SET name = ? WHERE id = ? RETURNING id, name";
const DELETE: &str = "DELETE FROM items WHERE id = ? RETURNING id, name";

/// Writes that may wait, and most that share a transaction.
const QUEUE: usize = 1024;
/// How long a connection waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An item.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// What a request failed for; the database says more in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("the writing thread stopped")]
    Stopped,
}

/// The database.
pub(crate) struct Store {
    path: PathBuf,
    idle_readers: Mutex<Vec<Connection>>,
    writer: mpsc::Sender<Job>,
}

enum Write {
    Create(String),
    Replace(i64, String),
    Delete(i64),
}

type Written = rusqlite::Result<Option<Item>>;

struct Job {
    write: Write,
    answer: oneshot::Sender<Written>,
}

impl Store {
    /// Opens the file, and creates it where it is missing.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let mut connection = connect(path)?;
        connection.execute_batch(CREATE_TABLE)?;
        let (writer, mut queue) = mpsc::channel(QUEUE);
        thread::spawn(move || {
            let mut jobs = Vec::with_capacity(QUEUE);
            while queue.blocking_recv_many(&mut jobs, QUEUE) > 0 {
                commit(&mut connection, &mut jobs);
            }
        });
        Ok(Self {
            path: path.to_owned(),
            idle_readers: Mutex::default(),
            writer,
        })
    }

    /// Returns items after an id. Runs where it is called: it takes microseconds, a change of threads takes more.
    pub(crate) fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError> {
        Ok(self.read_with(|reader| query(reader, LIST, (after, limit)))?)
    }

    pub(crate) fn read(&self, id: i64) -> Result<Option<Item>, StoreError> {
        Ok(self.read_with(|reader| query(reader, READ, [id]))?.pop())
    }

    pub(crate) async fn create(&self, name: String) -> Result<Item, StoreError> {
        let created = self.write(Write::Create(name)).await?;
        created.ok_or(rusqlite::Error::QueryReturnedNoRows.into())
    }

    pub(crate) async fn replace(&self, id: i64, name: String) -> Result<Option<Item>, StoreError> {
        self.write(Write::Replace(id, name)).await
    }

    pub(crate) async fn delete(&self, id: i64) -> Result<Option<Item>, StoreError> {
        self.write(Write::Delete(id)).await
    }

    /// Returns once it is on disk.
    async fn write(&self, write: Write) -> Result<Option<Item>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.writer.send(Job { write, answer }).await;
        sent.map_err(|_| StoreError::Stopped)?;
        Ok(answered.await.map_err(|_| StoreError::Stopped)??)
    }

    fn read_with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = || {
            self.idle_readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let taken = idle().pop();
        let reader = taken.map_or_else(|| connect(&self.path), Ok)?;
        let result = read(&reader);
        idle().push(reader);
        result
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // As metrics-host does: `LIMIT ?` is not prepared anew for every value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Executes `jobs` in one transaction, and answers each once that is on disk.
fn commit(connection: &mut Connection, jobs: &mut Vec<Job>) {
    match write_all(connection, jobs) {
        Ok(results) => {
            for (job, result) in jobs.drain(..).zip(results) {
                // Nobody waits for the answer of a connection that is gone.
                _ = job.answer.send(result);
            }
        }
        Err(error) => {
            // Those who wait are told by the end of their channel.
            eprintln!("native: cannot commit: {error}");
            jobs.clear();
        }
    }
}

fn write_all(connection: &mut Connection, jobs: &[Job]) -> rusqlite::Result<Vec<Written>> {
    let transaction = connection.transaction()?;
    let results = jobs
        .iter()
        .map(|job| {
            let items = match &job.write {
                Write::Create(name) => query(&transaction, CREATE, [name]),
                Write::Replace(id, name) => query(&transaction, REPLACE, (name, id)),
                Write::Delete(id) => query(&transaction, DELETE, [id]),
            };
            items.map(|mut items| items.pop())
        })
        .collect();
    transaction.commit()?;
    Ok(results)
}

fn query(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<Vec<Item>> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(parameters, to_item)?.collect()
}

fn to_item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        id: row.get(0)?,
        name: row.get(1)?,
    })
}
