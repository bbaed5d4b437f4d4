//! The log: one row for each group of changes, until a checkpoint has written them to the other tables.

use super::store::{Reason, Store};
use rusqlite::{Connection, params};

const APPEND: &str = "INSERT INTO log (position, checksum, entry) VALUES (?, ?, ?)";
const ALL: &str = "SELECT position, checksum, entry FROM log ORDER BY position";
const DELETE: &str = "DELETE FROM log WHERE position <= ?";

/// The end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Position of the last row; 0 if there was none.
    pub(super) position: i64,
    /// Bytes of all rows.
    pub(super) size: u64,
}

impl Store {
    /// Appends an entry in a transaction of its own; on return it is on disk.
    pub(super) fn append(&mut self, entry: &[u8]) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(APPEND)?;
        let position = self.log.position + 1;
        statement.execute(params![position, crc32fast::hash(entry), entry])?;
        self.log = End {
            position,
            size: self.log.size + entry.len() as u64,
        };
        Ok(())
    }

    /// Deletes the rows up to `covered` in the transaction in progress.
    pub(super) fn delete_log(&self, covered: End) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(DELETE)?;
        statement.execute([covered.position])?;
        Ok(())
    }
}

/// Reads the log, oldest entry first; returns its end.
pub(super) fn replay(
    connection: &Connection,
    mut apply: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<End, Reason> {
    let mut end = End::default();
    let mut statement = connection.prepare(ALL)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (position, checksum): (i64, u32) = (row.get(0)?, row.get(1)?);
        let damaged = |fault| Reason::Damaged(format!("entry {position} of the log: {fault}"));
        let entry = row.get_ref(2)?.as_blob();
        let entry = entry.map_err(|error| damaged(error.to_string()))?;
        if crc32fast::hash(entry) != checksum {
            return Err(damaged("wrong checksum".into()));
        }
        apply(entry).map_err(damaged)?;
        end = End {
            position,
            size: end.size + entry.len() as u64,
        };
    }
    Ok(end)
}
