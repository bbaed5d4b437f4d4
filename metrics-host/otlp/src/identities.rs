//! The identities of recent data points, by the bytes of their attributes.
//!
//! A sender reports the same series again and again, in the same bytes. The first time they are decoded, translated and
//! hashed with SHA-256; from then on they are found by a hash of the bytes, which are not even read as text.

use super::{point::Identity, resource::Sender};
use foldhash::fast::RandomState;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    sync::{Arc, PoisonError, RwLock},
};

/// A hash of bytes and of what stands around them. The keys of the hash are secret, so no sender can find bytes with
/// the hash of others.
pub(super) type Key = u128;

/// Identities, and the senders of their resources. Those that were not used for long are forgotten.
#[derive(Debug)]
pub struct Identities {
    secret: [u64; 2],
    known: RwLock<Known>,
}

/// Resources and senders that are known.
#[derive(Debug, Default)]
pub(super) struct Known {
    identities: Recent<Arc<Identity>>,
    senders: Recent<Arc<Sender>>,
}

/// New knowledge.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) identities: Vec<(Key, Arc<Identity>)>,
    pub(super) senders: Vec<(Key, Arc<Sender>)>,
}

/// A map of two generations. When the younger one is full, it becomes the older one, whose values are forgotten.
#[derive(Debug)]
struct Recent<T> {
    max: usize,
    young: HashMap<Key, T, RandomState>,
    old: HashMap<Key, T, RandomState>,
}

impl Identities {
    /// Creates an empty set for about `max` identities.
    pub fn new(max: usize) -> Self {
        let random = std::hash::RandomState::new();
        let mut known = Known::default();
        known.identities.max = max;
        known.senders.max = max;
        Self {
            secret: [random.hash_one(0), random.hash_one(1)],
            known: RwLock::new(known),
        }
    }

    /// Returns the key of `parts` of a message within the part of the key `around`.
    pub(super) fn key<'a>(&self, around: Key, parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.secret[0], self.secret[1]);
        hasher.write(&around.to_le_bytes());
        for part in parts {
            hasher.write(&part.len().to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// Calls `read` with what is known, and adds the news that it returns.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Known) -> (T, News)) -> T {
        let (result, news) = read(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        if !news.identities.is_empty() || !news.senders.is_empty() {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.identities.extend(news.identities);
            known.senders.extend(news.senders);
        }
        result
    }
}

impl Known {
    /// Returns an identity, and whether it is to be told again so that it stays.
    pub(super) fn identity(&self, key: Key) -> Option<(&Arc<Identity>, bool)> {
        self.identities.get(key)
    }

    pub(super) fn sender(&self, key: Key) -> Option<(&Arc<Sender>, bool)> {
        self.senders.get(key)
    }
}

impl<T> Recent<T> {
    fn get(&self, key: Key) -> Option<(&T, bool)> {
        let young = self.young.get(&key).map(|value| (value, false));
        young.or_else(|| Some((self.old.get(&key)?, true)))
    }

    fn extend(&mut self, news: Vec<(Key, T)>) {
        for (key, value) in news {
            if self.young.len() >= self.max {
                self.old = std::mem::take(&mut self.young);
            }
            self.old.remove(&key);
            self.young.insert(key, value);
        }
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            max: 0,
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut recent = Recent {
            max: 10,
            ..Recent::default()
        };
        for key in 0..100 {
            recent.extend(vec![(key, key)]);
            // Number 3 is used all the time.
            if key >= 3
                && let Some((_, true)) = recent.get(3)
            {
                recent.extend(vec![(3, 3)]);
            }
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert!(recent.get(3).is_some() && recent.get(99).is_some());
        assert_eq!(recent.get(4), None);
    }

    #[test]
    fn parts_are_told_apart_by_their_ends_and_by_what_is_around() {
        let identities = Identities::new(1);
        let key = |around, parts: &[&[u8]]| identities.key(around, parts.iter().copied());
        let all = [
            key(0, &[b"ab", b"c"]),
            key(0, &[b"a", b"bc"]),
            key(0, &[b"abc"]),
            key(1, &[b"abc"]),
            Identities::new(1).key(0, [&b"abc"[..]]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one));
        }
    }
}
