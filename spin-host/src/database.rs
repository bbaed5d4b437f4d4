//! One SQLite file, shared by all instances of the components that may open it.
//!
//! In WAL mode, readers work beside one writer. Reads run inline on a pooled connection and move to a blocking thread
//! when they take long. Writes go to one writer thread. It commits all waiting writes in one transaction, and so with
//! one `fsync`, before it reports any of them done. Statements that change the connection's state (`BEGIN`, `PRAGMA`,
//! temporary tables) give their session a connection of its own.

mod connection;
mod session;
mod statement;
mod writer;

#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use session::Session;

use connection::Limits;
use rusqlite::{Connection, types::Value};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use writer::Writer;

/// The databases of a component, by the names in its manifest.
pub(super) type Databases = HashMap<String, Arc<Database>>;

/// Result of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StatementResult {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each with a value per column.
    pub rows: Vec<Vec<Value>>,
    /// Rowid of the connection's last insert.
    pub last_insert_rowid: i64,
    /// Rows that the connection's last statement changed.
    pub changes: u64,
}

/// The reason why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DatabaseError {
    /// The disk or the database is full.
    #[error("database or disk is full")]
    Full,
    /// The statement would open another file.
    #[error("access denied")]
    AccessDenied,
    /// The statement ran out of time.
    #[error("statement took longer than {0:?}")]
    Timeout(Duration),
    /// Another error of SQLite.
    #[error("{0}")]
    Sqlite(String),
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    limits: Limits,
    idle_readers: Mutex<Vec<Connection>>,
    writer: Writer,
}

/// Idle connections kept for reading. Concurrent reads beyond them open more, which are closed afterwards.
const MAX_IDLE_READERS: usize = 16;

impl Database {
    /// Opens the file, or creates it. A statement may take `statement_timeout` and return `max_result_size` bytes.
    ///
    /// # Errors
    /// Fails if the file cannot be opened or is not a database.
    pub(super) fn open(
        path: &Path,
        statement_timeout: Duration,
        max_result_size: usize,
    ) -> Result<Arc<Self>, DatabaseError> {
        let limits = Limits {
            statement_timeout,
            max_result_size,
        };
        Ok(Arc::new(Self {
            writer: Writer::start(connection::open(path)?, limits),
            path: path.to_owned(),
            limits,
            idle_readers: Mutex::default(),
        }))
    }

    fn take_reader(&self) -> Result<Connection, DatabaseError> {
        let idle = self.idle_readers().pop();
        idle.map_or_else(|| connection::open_reader(&self.path), Ok)
    }

    fn put_back(&self, reader: Connection) {
        let mut idle = self.idle_readers();
        if idle.len() < MAX_IDLE_READERS {
            idle.push(reader);
        }
    }

    fn idle_readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle_readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
