//! What a contender does before it confirms that an item is created.

use super::Kind;
use anyhow::{Context, Result, ensure};
use std::{fmt, fs, path::Path};

/// Where in SQLite's header the file's journal is told, and what stands there for WAL: <https://www.sqlite.org/fileformat.html>
const WRITE_VERSION: usize = 18;
const WAL: u8 = 2;

/// Settings of SQLite, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Items are lost with the process.
    None,
    /// Items are in a file.
    Sqlite {
        /// `PRAGMA journal_mode`, as the file says.
        journal_mode: &'static str,
        /// `PRAGMA synchronous`, as the program sets it: no file says it.
        synchronous: &'static str,
    },
}

impl Durability {
    /// What is equal to the component under metrics-host.
    pub const EQUAL: Self = Self::Sqlite {
        journal_mode: "wal",
        synchronous: "full",
    };

    /// Looks at the database of a contender that has created items.
    pub(super) fn of(kind: Kind, database: &Path) -> Result<Self> {
        let file = fs::read(database).with_context(|| format!("reading {}", database.display()))?;
        let version = file.get(WRITE_VERSION).copied();
        let version = version.with_context(|| format!("{} is empty", database.display()))?;
        let journal_mode = if version == WAL { "wal" } else { "delete" };
        let durability = Self::Sqlite {
            journal_mode,
            // The two that we write set it; Spin leaves it at SQLite's default.
            synchronous: "full",
        };
        ensure!(
            durability == Self::EQUAL || matches!(kind, Kind::Spin | Kind::SpinQuickAck),
            "{} has {durability}",
            kind.name()
        );
        Ok(durability)
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "items in memory alone, **unequal**"),
            Self::Sqlite {
                journal_mode,
                synchronous,
            } => {
                write!(f, "journal_mode={journal_mode}, synchronous={synchronous}")?;
                if *self == Self::EQUAL {
                    Ok(())
                } else {
                    write!(f, ", **unequal**")
                }
            }
        }
    }
}
