//! One connection: how it is set up, and how a statement runs on it within its limits.

use super::{Answer, DatabaseError};
use rusqlite::{
    Connection, ErrorCode,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    params_from_iter,
    types::{Value, ValueRef},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// What a statement may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub statement_timeout: Duration,
    /// Bytes of all values of an answer together.
    pub max_answer: usize,
}

/// How long a connection waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept prepared per connection.
const STATEMENT_CACHE: usize = 64;
/// Steps of SQLite's virtual machine between looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;

/// Opens a connection that may write, and creates the database where it is missing.
pub(super) fn open(path: &Path) -> Result<Connection, DatabaseError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Every commit is on disk before it is acknowledged.
    connection.pragma_update(None, "synchronous", "full")?;
    // Otherwise a statement with `LIMIT ?` is prepared anew for every value: an eighth of the time of `GET /items`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A guest must not reach other files of the host.
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Authorization::Deny,
        AuthAction::Function {
            function_name: "load_extension",
        } => Authorization::Deny,
        _ => Authorization::Allow,
    }))?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, DatabaseError> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Executes `sql`; it may take `time`.
pub(super) fn execute(
    connection: &mut Connection,
    sql: &str,
    parameters: &[Value],
    time: Duration,
    max_answer: usize,
) -> Result<Answer, DatabaseError> {
    let deadline = Instant::now() + time;
    connection.progress_handler(STEPS_PER_LOOK, Some(move || Instant::now() > deadline))?;
    run(connection, sql, parameters, max_answer).map_err(|error| match error {
        Failure::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
        {
            DatabaseError::Timeout(time)
        }
        Failure::Sqlite(error) => error.into(),
        Failure::TooLarge => DatabaseError::Sqlite(format!("answer exceeds {max_answer} bytes")),
    })
}

/// Returns whether `sql` cannot change anything.
pub(super) fn is_read_only(connection: &Connection, sql: &str) -> Result<bool, DatabaseError> {
    Ok(connection.prepare_cached(sql)?.readonly())
}

enum Failure {
    Sqlite(rusqlite::Error),
    TooLarge,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn run(
    connection: &Connection,
    sql: &str,
    parameters: &[Value],
    max_answer: usize,
) -> Result<Answer, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut cursor = statement.query(params_from_iter(parameters))?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = cursor.next()? {
        let values = (0..columns.len()).map(|column| {
            let value = row.get_ref(column)?;
            bytes += size_of::<Value>();
            if let ValueRef::Text(content) | ValueRef::Blob(content) = value {
                bytes += content.len();
            }
            Ok(Value::try_from(value).map_err(|_| rusqlite::Error::InvalidQuery)?)
        });
        rows.push(values.collect::<Result<_, Failure>>()?);
        if bytes > max_answer {
            return Err(Failure::TooLarge);
        }
    }
    drop(cursor);
    Ok(Answer {
        columns,
        rows,
        last_insert_rowid: connection.last_insert_rowid(),
        changes: connection.changes(),
    })
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::AuthorizationForStatementDenied) => Self::AccessDenied,
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
