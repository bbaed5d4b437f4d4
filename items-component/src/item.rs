//! Items and their validated fields.

use serde::Serialize;

/// Maximum length of a name in characters (Unicode scalar values).
pub const MAX_NAME_LEN: usize = 200;

/// Id of an item: positive, assigned by the database, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ItemId(i64);

/// Name of an item: 1 to [`MAX_NAME_LEN`] characters, trimmed, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ItemName(String);

/// An item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The id.
    pub id: ItemId,
    /// The name.
    pub name: ItemName,
}

/// Not an [`ItemName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or only white space.
    #[error("name is required")]
    Missing,
    /// More than [`MAX_NAME_LEN`] characters.
    #[error("name has {0} characters; at most {MAX_NAME_LEN} are allowed")]
    TooLong(usize),
    /// A control character, such as a line break or NUL.
    #[error("name contains a control character")]
    ControlCharacter,
}

impl ItemId {
    /// Wraps an id that the database assigned.
    pub fn assigned(id: i64) -> Self {
        Self(id)
    }

    /// Parses an id in a path: a positive number in its canonical spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        canonical.then(|| text.parse().ok().map(Self)).flatten()
    }

    /// Returns the number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl ItemName {
    /// Wraps a name from the store, which was validated before it was written.
    pub fn stored(name: String) -> Self {
        Self(name)
    }

    /// Trims and validates a name from a client.
    ///
    /// # Errors
    /// If the name is empty, too long, or contains a control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.trim();
        let length = name.chars().count();
        if name.is_empty() {
            Err(NameError::Missing)
        } else if length > MAX_NAME_LEN {
            Err(NameError::TooLong(length))
        } else if name.contains(char::is_control) {
            Err(NameError::ControlCharacter)
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_counted_in_characters() {
        assert_eq!(ItemName::parse("  é\t").unwrap().as_str(), "é");
        assert!(ItemName::parse(&"é".repeat(200)).is_ok());
        assert_eq!(
            ItemName::parse(&"é".repeat(201)),
            Err(NameError::TooLong(201))
        );
        assert_eq!(ItemName::parse(" \n"), Err(NameError::Missing));
        assert_eq!(ItemName::parse("a\0b"), Err(NameError::ControlCharacter));
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(ItemId::parse("17").map(ItemId::get), Some(17));
        for text in ["", "0", "-1", "+1", "01", "1.0", "x", "9223372036854775808"] {
            assert_eq!(ItemId::parse(text), None, "{text:?}");
        }
    }
}
