//! The writer thread. All writes that wait for it share a transaction.

use super::{
    DatabaseError, StatementResult,
    connection::{self, Limits},
};
use rusqlite::{Connection, types::Value};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// Most writes that can wait, and most that share a transaction.
const QUEUE: usize = 1024;

/// Handle to the writer thread. Dropping it finishes the waiting writes and joins the thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

struct Write {
    sql: String,
    parameters: Vec<Value>,
    result: oneshot::Sender<Result<StatementResult, DatabaseError>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, limits: Limits) -> Self {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || {
                let mut writes = Vec::with_capacity(QUEUE);
                while receiver.blocking_recv_many(&mut writes, QUEUE) > 0 {
                    commit(&mut connection, limits, std::mem::take(&mut writes));
                }
            });
        Self {
            queue: Some(sender),
            thread: Some(thread.expect("the system has a thread at start-up")),
        }
    }

    /// Executes `sql` and returns once it is on disk.
    pub(super) async fn execute(
        &self,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<StatementResult, DatabaseError> {
        let (result, executed) = oneshot::channel();
        let write = Write {
            sql,
            parameters,
            result,
        };
        let stopped = || DatabaseError::Sqlite("the writer thread stopped".into());
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(write).await.map_err(|_| stopped())?;
        executed.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of a database panicked");
        }
    }
}

/// Executes and commits `writes`, then sends each its result.
fn commit(connection: &mut Connection, limits: Limits, writes: Vec<Write>) {
    let results = match together(connection, limits, &writes) {
        Some(results) => results,
        None => writes
            .iter()
            .map(|write| execute(connection, limits, write))
            .collect(),
    };
    for (write, result) in writes.into_iter().zip(results) {
        // An error means that the request was canceled.
        _ = write.result.send(result);
    }
}

/// Executes `writes` in one transaction. Returns `None` if one of them ended it and so undid those before.
fn together(
    connection: &mut Connection,
    limits: Limits,
    writes: &[Write],
) -> Option<Vec<Result<StatementResult, DatabaseError>>> {
    if writes.len() == 1 {
        return None;
    }
    let all_failed = |error: rusqlite::Error| {
        let error = DatabaseError::from(error);
        Some(vec![Err(error); writes.len()])
    };
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return all_failed(error);
    }
    let mut results = Vec::with_capacity(writes.len());
    for write in writes {
        results.push(execute(connection, limits, write));
        if connection.is_autocommit() {
            return None;
        }
    }
    if let Err(error) = connection.execute_batch("COMMIT") {
        // A commit that fails for lack of space leaves the transaction open.
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back");
        }
        return all_failed(error);
    }
    Some(results)
}

fn execute(
    connection: &mut Connection,
    limits: Limits,
    write: &Write,
) -> Result<StatementResult, DatabaseError> {
    connection::execute(
        connection,
        &write.sql,
        &write.parameters,
        limits.statement_timeout,
        limits.max_result_size,
    )
}
