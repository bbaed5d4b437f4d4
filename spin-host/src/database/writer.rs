//! The one thread that writes: all that wait for it share a transaction.

use super::{
    Answer, DatabaseError,
    connection::{self, Limits},
};
use rusqlite::{Connection, types::Value};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// Writes that may wait, and most that share a transaction.
const QUEUE: usize = 1024;

/// Hands writes to the thread; the thread ends when this is dropped, after the writes that wait.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

struct Write {
    sql: String,
    parameters: Vec<Value>,
    answer: oneshot::Sender<Result<Answer, DatabaseError>>,
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
    ) -> Result<Answer, DatabaseError> {
        let (answer, answered) = oneshot::channel();
        let write = Write {
            sql,
            parameters,
            answer,
        };
        let stopped = || DatabaseError::Sqlite("the writing thread stopped".into());
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(write).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread of a database panicked");
        }
    }
}

/// Executes `writes`, commits them, and answers each.
fn commit(connection: &mut Connection, limits: Limits, writes: Vec<Write>) {
    let results = match together(connection, limits, &writes) {
        Some(results) => results,
        None => writes
            .iter()
            .map(|write| execute(connection, limits, write))
            .collect(),
    };
    for (write, result) in writes.into_iter().zip(results) {
        // Nobody waits for the answer of a request that was given up.
        _ = write.answer.send(result);
    }
}

/// Executes `writes` in one transaction; `None` if one of them ended it, which undid those before.
fn together(
    connection: &mut Connection,
    limits: Limits,
    writes: &[Write],
) -> Option<Vec<Result<Answer, DatabaseError>>> {
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
        // A commit that failed for want of space leaves the transaction open.
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
) -> Result<Answer, DatabaseError> {
    connection::execute(
        connection,
        &write.sql,
        &write.parameters,
        limits.statement_timeout,
        limits.max_answer,
    )
}
