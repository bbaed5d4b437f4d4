//! Counters in a file that is mapped into memory. An added count is in the kernel's hands at once, so it survives
//! `kill -9`. A count that [`CounterFile::sync`] returned for is on disk, so it survives a power loss.
//!
//! The file is an array of 256-byte slots. Slot 0 is the header. Every other slot is a key (its checksum, 0
//! while the slot is free, then 120 bytes of text padded with zeros) and [`VALUES`] counters. A slot lies
//! within one page, so a page that reached the disk has the key of every counter in it.
//!
//! A file that another program shortens under the mapping ends the process with SIGBUS at the next access, and so does
//! a read error of the disk. That is on purpose: counters that cannot be stored must not be shown, and the next start
//! refuses a file of the wrong length.

use memmap2::MmapRaw;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Counters per slot.
pub const VALUES: usize = 16;
/// Longest key, in bytes.
pub const MAX_KEY_LEN: usize = 8 * KEY_WORDS;

const KEY_WORDS: usize = 15;
const SLOT_WORDS: usize = 1 + KEY_WORDS + VALUES;
const SLOTS: usize = 4096;
const FILE_LEN: usize = SLOTS * SLOT_WORDS * 8;
const MAGIC: u64 = u64::from_ne_bytes(*b"mhcounts");
const VERSION: u64 = 1;

/// Names a slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId(usize);

/// The file, mapped.
#[derive(Debug)]
pub struct CounterFile {
    map: MmapRaw,
    /// Slots below are in use.
    next: AtomicUsize,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("counters {path}: {reason}", path = path.display())]
pub struct CounterFileError {
    path: PathBuf,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(
        "not a counter file, or damaged ({0}); restore it from a backup, or move it away to start from 0"
    )]
    Damaged(String),
    #[error(
        "written by a newer metrics-host (version {0}, this one knows {VERSION}); run that one"
    )]
    Newer(u64),
}

impl CounterFile {
    /// Opens the file, or creates it with all its blocks, so that a full disk shows here and not later.
    ///
    /// # Errors
    /// If the file system refuses, or the content was not written by this code. Nothing is ever reset.
    pub fn open(path: &Path) -> Result<Self, CounterFileError> {
        Self::open_or_create(path).map_err(|reason| CounterFileError {
            path: path.to_owned(),
            reason,
        })
    }

    fn open_or_create(path: &Path) -> Result<Self, Reason> {
        if !path.try_exists()? {
            create(path)?;
        }
        let file = File::options().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        if len != FILE_LEN as u64 {
            return Err(Reason::Damaged(format!(
                "{len} bytes instead of {FILE_LEN}"
            )));
        }
        let counters = Self {
            map: MmapRaw::map_raw(&file)?,
            next: AtomicUsize::new(1),
        };
        let [magic, version] = [0, 1].map(|word| counters.words()[word].load(Acquire));
        if magic != MAGIC {
            return Err(Reason::Damaged("no header".into()));
        }
        if version != VERSION {
            return Err(Reason::Newer(version));
        }
        let used = (1..SLOTS)
            .take_while(|slot| counters.slot(*slot)[0].load(Acquire) != 0)
            .count();
        counters.next.store(used + 1, Relaxed);
        for (slot, key) in counters.slots() {
            let intact = key.is_some_and(|key| {
                checksum(key.as_bytes()) == counters.slot(slot.0)[0].load(Relaxed)
            });
            if !intact {
                return Err(Reason::Damaged(format!("slot {}", slot.0)));
            }
        }
        Ok(counters)
    }

    /// Takes a free slot for `key`, its counters at 0; `None` if none is free or the key is empty or too long.
    ///
    /// Two claims must not run at the same time, nor may a key be claimed twice: the caller holds a lock.
    pub fn claim(&self, key: &str) -> Option<SlotId> {
        let index = self.next.load(Relaxed);
        if index == SLOTS || key.is_empty() || key.len() > MAX_KEY_LEN {
            return None;
        }
        let slot = self.slot(index);
        let mut padded = [0; MAX_KEY_LEN];
        padded[..key.len()].copy_from_slice(key.as_bytes());
        for (word, bytes) in slot[1..].iter().zip(padded.chunks_exact(8)) {
            word.store(
                u64::from_ne_bytes(bytes.try_into().expect("chunks of 8")),
                Relaxed,
            );
        }
        slot[0].store(checksum(key.as_bytes()), Release);
        self.next.store(index + 1, Release);
        Some(SlotId(index))
    }

    /// Returns the counters of `slot`.
    pub fn values(&self, slot: SlotId) -> &[AtomicU64; VALUES] {
        self.slot(slot.0)[1 + KEY_WORDS..]
            .first_chunk()
            .expect("a slot ends with its values")
    }

    /// Returns the slots in use with their keys; a key that is no text is `None`.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, Option<String>)> {
        (1..self.next.load(Acquire)).map(|index| {
            let bytes: Vec<u8> = self.slot(index)[1..=KEY_WORDS]
                .iter()
                .flat_map(|word| word.load(Relaxed).to_ne_bytes())
                .take_while(|byte| *byte != 0)
                .collect();
            (SlotId(index), String::from_utf8(bytes).ok())
        })
    }

    /// Writes to disk all that was added before the call.
    ///
    /// # Errors
    /// If the disk refuses; the counters in memory stay as they are.
    pub fn sync(&self) -> io::Result<()> {
        self.map.flush()
    }

    fn slot(&self, index: usize) -> &[AtomicU64] {
        &self.words()[index * SLOT_WORDS..][..SLOT_WORDS]
    }

    #[expect(unsafe_code, reason = "memory that another process may map can only be reached through a raw pointer")]
    fn words(&self) -> &[AtomicU64] {
        let words = self.map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is FILE_LEN bytes long (checked when it was opened), aligned to a page, readable
        // and writable, and lives as long as `self`. Every access is through these atomics, so other writers cause no
        // data race; the lock of the state directory keeps other metrics-hosts away. Shortening the file unmaps no
        // page: an access beyond its end raises SIGBUS, which ends the process, and never reads other memory.
        unsafe { std::slice::from_raw_parts(words, FILE_LEN / 8) }
    }
}

/// Writes an empty file.
fn create(path: &Path) -> io::Result<()> {
    let mut content = vec![0; FILE_LEN];
    content[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    content[8..16].copy_from_slice(&VERSION.to_ne_bytes());
    state_dir::replace(path, &content)
}

/// FNV-1a, never 0. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::FileExt};

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counters");
        (dir, path)
    }

    #[test]
    fn counters_are_found_again_under_their_keys() {
        let (_dir, path) = scratch();
        let counters = CounterFile::open(&path).unwrap();
        for (key, count) in [("a", 1), ("ü", 2), (&*"k".repeat(MAX_KEY_LEN), 3)] {
            let slot = counters.claim(key).unwrap();
            counters.values(slot)[VALUES - 1].fetch_add(count, Relaxed);
        }
        drop(counters);

        let counters = CounterFile::open(&path).unwrap();
        let found: Vec<_> = counters
            .slots()
            .map(|(slot, key)| {
                (
                    key.unwrap().chars().next(),
                    counters.values(slot)[VALUES - 1].load(Relaxed),
                )
            })
            .collect();
        assert_eq!(found, [(Some('a'), 1), (Some('ü'), 2), (Some('k'), 3)]);
    }

    #[test]
    fn a_full_file_and_an_unusable_key_are_refused() {
        let (_dir, path) = scratch();
        let counters = CounterFile::open(&path).unwrap();
        assert_eq!(counters.claim(""), None);
        assert_eq!(counters.claim(&"k".repeat(MAX_KEY_LEN + 1)), None);
        for index in 1..SLOTS {
            assert!(counters.claim(&index.to_string()).is_some());
        }
        assert_eq!(counters.claim("one more"), None);
    }

    #[test]
    fn damage_is_named_and_nothing_is_reset() {
        type Damage = fn(&File);
        let damage: [(&str, Damage); 4] = [
            ("no header", |file| file.write_all_at(b"x", 0).unwrap()),
            ("newer metrics-host (version 2", |file| {
                file.write_all_at(&[2], 8).unwrap()
            }),
            ("slot 1", |file| file.write_all_at(b"x", 256 + 8).unwrap()),
            ("100 bytes instead of", |file| file.set_len(100).unwrap()),
        ];
        for (expected, damage) in damage {
            let (_dir, path) = scratch();
            CounterFile::open(&path).unwrap().claim("key").unwrap();
            damage(&File::options().write(true).open(&path).unwrap());
            let before = fs::read(&path).unwrap();
            let error = anyhow::Error::from(CounterFile::open(&path).unwrap_err());
            assert!(format!("{error:#}").contains(expected), "{error:#}");
            assert!(format!("{error:#}").contains("counters"), "{error:#}");
            assert_eq!(fs::read(&path).unwrap(), before);
        }
    }
}
