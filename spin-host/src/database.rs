//! One SQLite file, shared by all instances of the components that may open it.
//!
//! In WAL mode readers work beside one writer. Reads run where they are called, on a pooled connection, and
//! move to a blocking thread when they take long. Writes go to the one writing thread, which commits all that
//! wait for it in one transaction, and so with one `fsync`, before it answers any of them. What needs a
//! connection of its own (`BEGIN`, `PRAGMA`, temporary tables) gets one for the rest of its session.

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

/// The databases that a component may open, by the names it knows them by.
pub(super) type Databases = HashMap<String, Arc<Database>>;

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each with a value per column.
    pub rows: Vec<Vec<Value>>,
    /// Rowid of the connection's last insert.
    pub last_insert_rowid: i64,
    /// Rows that the connection's last statement changed.
    pub changes: u64,
}

/// Why a statement was not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DatabaseError {
    /// Disk or database is full.
    #[error("database or disk is full")]
    Full,
    /// The guest asked for a file of its choice.
    #[error("access denied")]
    AccessDenied,
    /// It ran out of its time.
    #[error("statement took longer than {0:?}")]
    Timeout(Duration),
    /// What SQLite said.
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

/// Connections kept for reading; more are opened when more reads run at one time, and closed after.
const MAX_IDLE_READERS: usize = 16;

impl Database {
    /// Opens the file, creating it where it is missing. A statement may take `statement_timeout` and answer
    /// `max_answer` bytes.
    ///
    /// # Errors
    /// If the file cannot be opened or is no database.
    pub(super) fn open(
        path: &Path,
        statement_timeout: Duration,
        max_answer: usize,
    ) -> Result<Arc<Self>, DatabaseError> {
        let limits = Limits {
            statement_timeout,
            max_answer,
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
