//! The idempotency key of a batch.

use std::{fmt, str::FromStr};

/// Idempotency key of a batch, written `<instance>-<sequence>` in the `Idempotency-Key` header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// `service.instance.id`: 1 to 64 characters of `[0-9A-Za-z_-]`.
    pub instance: String,
    /// Sequence number of the batch in its instance: 1, 2, 3, …
    pub sequence: u64,
}

const MAX_INSTANCE_LEN: usize = 64;

/// Not a [`BatchKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an idempotency key <instance>-<sequence>, with a sequence from 1, got {0:?}")]
pub struct ParseBatchKeyError(String);

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.instance, self.sequence)
    }
}

impl FromStr for BatchKey {
    type Err = ParseBatchKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (instance, sequence) = text.rsplit_once('-')?;
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let instance_ok =
                (1..=MAX_INSTANCE_LEN).contains(&instance.len()) && instance.bytes().all(allowed);
            // `parse` alone accepts "+1" and "01", further spellings of one key.
            let sequence_ok =
                sequence.bytes().all(|b| b.is_ascii_digit()) && !sequence.starts_with('0');
            (instance_ok && sequence_ok).then_some(())?;
            Some(Self {
                instance: instance.to_owned(),
                sequence: sequence.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseBatchKeyError(text.chars().take(2 * MAX_INSTANCE_LEN).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_written() {
        let key = BatchKey {
            instance: "0f-3c".into(),
            sequence: 17,
        };
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn malformed_keys_are_refused() {
        for text in [
            "", "-", "a", "a-", "-1", "a-0", "a-01", "a-+1", "a-x", "ä-1", "a b-1",
        ] {
            assert!(text.parse::<BatchKey>().is_err(), "{text:?}");
        }
        assert!(format!("{}-1", "a".repeat(65)).parse::<BatchKey>().is_err());
    }
}
