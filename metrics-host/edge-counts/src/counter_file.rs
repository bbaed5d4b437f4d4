//! Counters in a memory-mapped file. An increment reaches the kernel's page cache at once, so it survives `kill -9`.
//! After [`CounterFile::sync`] it is on disk and survives a power loss.
//!
//! The file is an array of 512-byte slots. Slot 0 is the header. Every other slot holds a key (its checksum, 0
//! while the slot is free, then 376 bytes of text padded with zeros) and [`VALUES`] counters. A slot lies
//! within one page, so every page on disk has the keys of its counters. Version 1 of the file had slots of 256 bytes;
//! [`CounterFile::open`] rewrites it.
//!
//! A file that another program shortens under the mapping ends the process with SIGBUS at the next access, and so does
//! a read error of the disk. That is on purpose: counters that cannot be stored must not be shown, and the next start
//! refuses a file of the wrong length.

mod version_1;

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

const KEY_WORDS: usize = 47;
const SLOT_WORDS: usize = 1 + KEY_WORDS + VALUES;
const SLOTS: usize = 8192;
const FILE_LEN: usize = SLOTS * SLOT_WORDS * 8;
const MAGIC: u64 = u64::from_ne_bytes(*b"mhcounts");
const VERSION: u64 = 2;

/// The index of a slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId(usize);

/// The mapped file.
#[derive(Debug)]
pub struct CounterFile {
    map: MmapRaw,
    /// First free slot.
    next: AtomicUsize,
}

/// An error of [`CounterFile::open`].
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
    /// Opens the file; creates it if it is missing. Creation allocates all blocks, so that a full disk fails here and
    /// not later. A file of version 1 is rewritten, with each key as `renamed` returns it.
    ///
    /// # Errors
    /// If the file cannot be opened or is not an intact counter file. No counter is ever reset.
    pub fn open(path: &Path, renamed: impl Fn(&str) -> String) -> Result<Self, CounterFileError> {
        Self::open_or_create(path, renamed).map_err(|reason| CounterFileError {
            path: path.to_owned(),
            reason,
        })
    }

    fn open_or_create(path: &Path, renamed: impl Fn(&str) -> String) -> Result<Self, Reason> {
        if !path.try_exists()? {
            write(path, &[])?;
        } else if let Some(slots) = version_1::read(path)? {
            let renamed = slots.iter().map(|(key, values)| (renamed(key), *values));
            write(path, &renamed.collect::<Vec<_>>())?;
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

    /// Takes a free slot for `key`, with its counters at 0; `None` if the file is full, or the key empty or too long.
    ///
    /// The caller holds a lock: claims must not run concurrently, and a key must not be claimed twice.
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

    /// Returns the slots in use with their keys; `None` for a key that is not UTF-8.
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

    /// Writes all earlier increments to disk.
    ///
    /// # Errors
    /// If the disk refuses; the counters in memory stay as they are.
    pub fn sync(&self) -> io::Result<()> {
        self.map.flush()
    }

    fn slot(&self, index: usize) -> &[AtomicU64] {
        &self.words()[index * SLOT_WORDS..][..SLOT_WORDS]
    }

    #[expect(
        unsafe_code,
        reason = "memory that another process may map can only be reached through a raw pointer"
    )]
    fn words(&self) -> &[AtomicU64] {
        let words = self.map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is FILE_LEN bytes long (checked when it was opened), aligned to a page, readable
        // and writable, and lives as long as `self`. Every access is through these atomics, so other writers cause no
        // data race; the lock of the state directory keeps other metrics-hosts away. Shortening the file unmaps no
        // page: an access beyond its end raises SIGBUS, which ends the process, and never reads other memory.
        unsafe { std::slice::from_raw_parts(words, FILE_LEN / 8) }
    }
}

/// Writes a file with `slots` in use and all others free.
fn write(path: &Path, slots: &[(String, [u64; VALUES])]) -> io::Result<()> {
    let mut content = vec![0; FILE_LEN];
    content[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    content[8..16].copy_from_slice(&VERSION.to_ne_bytes());
    let free = content.chunks_exact_mut(8 * SLOT_WORDS).skip(1);
    for (slot, (key, values)) in free.zip(slots) {
        let (slot_checksum, rest) = slot.split_at_mut(8);
        let (slot_key, slot_values) = rest.split_at_mut(MAX_KEY_LEN);
        slot_checksum.copy_from_slice(&checksum(key.as_bytes()).to_ne_bytes());
        slot_key[..key.len()].copy_from_slice(key.as_bytes());
        for (bytes, value) in slot_values.chunks_exact_mut(8).zip(values) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
    }
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

    fn open(path: &Path) -> Result<CounterFile, CounterFileError> {
        CounterFile::open(path, |key| format!("renamed {key}"))
    }

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counters");
        (dir, path)
    }

    #[test]
    fn reopening_finds_counters_under_their_keys() {
        let (_dir, path) = scratch();
        let counters = open(&path).unwrap();
        for (key, count) in [("a", 1), ("ü", 2), (&*"k".repeat(MAX_KEY_LEN), 3)] {
            let slot = counters.claim(key).unwrap();
            counters.values(slot)[VALUES - 1].fetch_add(count, Relaxed);
        }
        drop(counters);

        let counters = open(&path).unwrap();
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
        let counters = open(&path).unwrap();
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
            ("newer metrics-host (version 3", |file| {
                file.write_all_at(&[3], 8).unwrap()
            }),
            ("slot 1", |file| file.write_all_at(b"x", 512 + 8).unwrap()),
            ("100 bytes instead of", |file| file.set_len(100).unwrap()),
        ];
        for (expected, damage) in damage {
            let (_dir, path) = scratch();
            open(&path).unwrap().claim("key").unwrap();
            damage(&File::options().write(true).open(&path).unwrap());
            let before = fs::read(&path).unwrap();
            let error = anyhow::Error::from(open(&path).unwrap_err());
            assert!(format!("{error:#}").contains(expected), "{error:#}");
            assert!(format!("{error:#}").contains("counters"), "{error:#}");
            assert_eq!(fs::read(&path).unwrap(), before);
        }
    }
}
