//! Reads a file of version 1, which metrics-host 0.1.0 wrote: slots of 256 bytes with keys of up to 120 bytes.

use super::{MAGIC, Reason, VALUES, checksum};
use std::{fs, path::Path};

const SLOTS: usize = 4096;
const MAX_KEY_LEN: usize = 120;
const SLOT_LEN: usize = 8 + MAX_KEY_LEN + 8 * VALUES;
const FILE_LEN: usize = SLOTS * SLOT_LEN;

/// A slot in use: its key and counters.
type Slot = (String, [u64; VALUES]);

/// Returns the slots in use; `None` if the file has another version or length.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Slot>>, Reason> {
    if fs::metadata(path)?.len() != FILE_LEN as u64 {
        return Ok(None);
    }
    let content = fs::read(path)?;
    if word(&content, 0) != MAGIC || word(&content, 1) != 1 {
        return Ok(None);
    }
    let slots = content.chunks_exact(SLOT_LEN).enumerate().skip(1);
    let used = slots.take_while(|(_, slot)| word(slot, 0) != 0);
    let slots = used.map(|(index, slot)| {
        let key = &slot[8..][..MAX_KEY_LEN];
        let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
        let intact = checksum(key) == word(slot, 0);
        let key = str::from_utf8(key).ok().filter(|_| intact);
        let values = std::array::from_fn(|value| word(&slot[8 + MAX_KEY_LEN..], value));
        key.map(|key| (key.to_owned(), values))
            .ok_or_else(|| Reason::Damaged(format!("slot {index}")))
    });
    slots.collect::<Result<_, _>>().map(Some)
}

/// Returns the `index`-th number of `bytes`.
fn word(bytes: &[u8], index: usize) -> u64 {
    let word = bytes[8 * index..].first_chunk();
    u64::from_ne_bytes(*word.expect("a slot has all its words"))
}
