//! The outbox: batches that could not be delivered wait in SQLite until an instance delivers them.
//!
//! Batches leave in id order, so that those of one instance do not overtake each other. Several instances may deliver
//! the same batch concurrently; the receiver recognises its key.

use crate::{sqlite, store::StoreError};
use spin_sdk::sqlite::{Value, wit::sqlite as blocking};
use std::cell::Cell;
use telemetry::{BatchKey, emitter::FrozenBatch};

const CREATE: [&str; 2] = [
    include_str!("../migrations/0002_create_telemetry_outbox.sql"),
    include_str!("../migrations/0003_create_telemetry_lost.sql"),
];
/// Capacity in rows: an hour without a receiver at 1 000 requests a second, about a hundred megabytes.
const MAX_ROWS: i64 = 50_000;
/// Rows per read.
const PAGE: i64 = 16;
const HAS_ROOM: &str = "SELECT coalesce(max(id) - min(id), 0) < ? FROM telemetry_outbox";
const ADD_LOST: &str = "INSERT INTO telemetry_lost (id, requests) VALUES (0, ?) \
    ON CONFLICT (id) DO UPDATE SET requests = requests + excluded.requests";
const READ: &str = "SELECT id, key, requests, body FROM telemetry_outbox ORDER BY id LIMIT ?";
const DELETE: &str = "DELETE FROM telemetry_outbox WHERE id <= ?";
const TAKE_LOST: &str = "DELETE FROM telemetry_lost RETURNING requests";

/// A batch in the outbox.
pub(crate) struct Waiting {
    pub(crate) id: i64,
    pub(crate) batch: FrozenBatch,
}

/// Stores all `batches` or none. A full outbox adds their requests to the lost ones instead.
pub(crate) async fn put(batches: &[FrozenBatch]) -> Result<(), StoreError> {
    create().await?;
    let room = sqlite::rows(HAS_ROOM, [MAX_ROWS.into()], 1).await?;
    let (sql, values) = insertion(
        batches,
        room.first().and_then(|row| row.get::<i64>(0)) != Some(0),
    );
    sqlite::rows(&sql, values, 0).await?;
    Ok(())
}

/// [`put`] for the panic hook, which cannot await.
pub(crate) fn put_blocking(batches: &[FrozenBatch]) -> Result<(), blocking::Error> {
    let connection = blocking::Connection::open("default")?;
    for sql in CREATE {
        connection.execute(sql, &[])?;
    }
    let room = connection.execute(HAS_ROOM, &[Value::Integer(MAX_ROWS)])?;
    let full = room
        .rows
        .first()
        .is_some_and(|row| matches!(row.values.first(), Some(Value::Integer(0))));
    let (sql, values) = insertion(batches, !full);
    connection.execute(&sql, &values)?;
    Ok(())
}

/// Returns the oldest batches.
pub(crate) async fn oldest() -> Result<Vec<Waiting>, StoreError> {
    create().await?;
    let rows = sqlite::rows(READ, [PAGE.into()], PAGE as usize).await?;
    let waiting = rows.iter().map(|row| {
        let key = row.get::<&str>(1)?.parse::<BatchKey>().ok()?;
        Some(Waiting {
            id: row.get(0)?,
            batch: FrozenBatch {
                key,
                requests: u64::try_from(row.get::<i64>(2)?).ok()?,
                body: row.get::<&str>(3)?.as_bytes().to_vec(),
            },
        })
    });
    waiting
        .collect::<Option<_>>()
        .ok_or_else(|| StoreError("a row of telemetry_outbox is not a batch".into()))
}

/// Deletes the batches up to `id`.
pub(crate) async fn delete_up_to(id: i64) -> Result<(), StoreError> {
    sqlite::rows(DELETE, [id.into()], 0).await.map(|_| ())
}

/// Returns the number of requests lost to a full outbox, and resets it.
pub(crate) async fn take_lost() -> Result<u64, StoreError> {
    let rows = sqlite::rows(TAKE_LOST, [], 1).await?;
    let lost = rows.first().and_then(|row| row.get::<i64>(0));
    Ok(u64::try_from(lost.unwrap_or_default()).unwrap_or_default())
}

/// Creates the tables, once per instance.
async fn create() -> Result<(), StoreError> {
    thread_local! {
        static CREATED: Cell<bool> = const { Cell::new(false) };
    }
    if !CREATED.get() {
        for sql in CREATE {
            sqlite::rows(sql, [], 0).await?;
        }
        CREATED.set(true);
    }
    Ok(())
}

fn insertion(batches: &[FrozenBatch], room: bool) -> (String, Vec<Value>) {
    let integer = |number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    if !room {
        let lost = batches.iter().map(|batch| batch.requests).sum();
        return (ADD_LOST.into(), vec![integer(lost)]);
    }
    let rows = vec!["(?, ?, ?)"; batches.len()].join(", ");
    let values = batches.iter().flat_map(|batch| {
        [
            Value::Text(batch.key.to_string()),
            integer(batch.requests),
            Value::Text(String::from_utf8_lossy(&batch.body).into_owned()),
        ]
    });
    (
        format!("INSERT OR IGNORE INTO telemetry_outbox (key, requests, body) VALUES {rows}"),
        values.collect(),
    )
}
