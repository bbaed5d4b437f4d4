//! Text that is no Unicode, or no JSON for our parser: half of a character becomes U+FFFD.

use std::borrow::Cow;

/// U+FFFD in JSON.
const ESCAPED: &str = "\\ufffd";

/// Returns `text` with U+FFFD in place of each sequence that is not UTF-8.
pub(super) fn utf8(text: &[u8]) -> Cow<'_, str> {
    if let Ok(valid) = str::from_utf8(text) {
        return Cow::Borrowed(valid);
    }
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (length, character) = character(rest);
        repaired.push_str(character.unwrap_or("\u{fffd}"));
        rest = &rest[length..];
    }
    Cow::Owned(repaired)
}

/// Returns JSON in which each string is valid Unicode, and the number of strings that were not. A number that no double
/// can hold becomes a string, so that its reader refuses it and not the parser.
pub(super) fn json(text: &[u8]) -> (String, u64) {
    let mut repaired = String::with_capacity(text.len());
    let (mut strings, mut in_string, mut is_repaired) = (0, false, false);
    let mut rest = text;
    while !rest.is_empty() {
        let (length, kept) = match rest {
            [b'"', ..] => {
                strings += u64::from(in_string && is_repaired);
                (in_string, is_repaired) = (!in_string, false);
                (1, Some("\""))
            }
            [b'\\', b'u', ..] => escape(rest),
            [b'\\', b'"', ..] => (2, Some("\\\"")),
            [b'\\', b'\\', ..] => (2, Some("\\\\")),
            [b'-' | b'0'..=b'9', ..] if !in_string => {
                let (length, number) = number(rest);
                if number.parse().is_ok_and(f64::is_infinite) {
                    repaired.extend(["\"", number, "\""]);
                    (length, Some(""))
                } else {
                    (length, Some(number))
                }
            }
            _ => character(rest),
        };
        is_repaired |= kept.is_none();
        repaired.push_str(kept.unwrap_or(ESCAPED));
        rest = &rest[length..];
    }
    (repaired, strings)
}

/// Returns the length of the first character, and the character if it is valid. Half of a surrogate pair has three bytes.
fn character(text: &[u8]) -> (usize, Option<&str>) {
    let head = &text[..text.len().min(4)];
    match head {
        // The usual one, without a search.
        [0..0x80, ..] => return (1, str::from_utf8(&head[..1]).ok()),
        [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => return (3, None),
        _ => {}
    }
    let Some(chunk) = head.utf8_chunks().next() else {
        return (0, None);
    };
    match chunk.valid().chars().next() {
        Some(first) => (first.len_utf8(), Some(&chunk.valid()[..first.len_utf8()])),
        None => (chunk.invalid().len(), None),
    }
}

/// Returns the length of an escape such as `\u00e9` or `\ud83d\ude00`, and the escape unless it is half of a pair.
fn escape(text: &[u8]) -> (usize, Option<&str>) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let kept = |length| str::from_utf8(&text[..length]).ok();
    match (unit(0), unit(6)) {
        (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, kept(12)),
        (Some(0xd800..0xe000), _) => (6, None),
        (Some(_), _) => (6, kept(6)),
        (None, _) => (2, kept(2)),
    }
}

fn number(text: &[u8]) -> (usize, &str) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = text.iter().take_while(|byte| is_part(byte)).count();
    (length, str::from_utf8(&text[..length]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_character_becomes_one_replacement_character() {
        for (text, expected) in [
            (&b"caf\xc3\xa9"[..], "café"),
            (b"user \xf0\x9f\x98\x80", "user 😀"),
            (b"user \xf0\x9f\x98", "user \u{fffd}"),
            (b"user \xed\xa0\xbd!", "user \u{fffd}!"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"\xc3(", "\u{fffd}("),
        ] {
            assert_eq!(utf8(text), expected);
        }
    }

    #[test]
    fn strings_of_json_are_repaired_and_counted() {
        for (text, expected, strings) in [
            (
                &br#"{"a":"\ud83d\ude00 \u00e9 \\ud83d"}"#[..],
                r#"{"a":"\ud83d\ude00 \u00e9 \\ud83d"}"#,
                0,
            ),
            (
                br#"["user \ud83d","\ude00\ud83d"]"#,
                r#"["user \ufffd","\ufffd\ufffd"]"#,
                2,
            ),
            (br#"["\ud83d\n"]"#, r#"["\ufffd\n"]"#, 1),
            (
                b"[\"\xed\xa0\xbd\", \"\\\"\xf0\x9f\x98\", 7]",
                r#"["\ufffd", "\"\ufffd", 7]"#,
                2,
            ),
            (
                b"[1e400, -1e400, 1e3, \"1e400\"]",
                r#"["1e400", "-1e400", 1e3, "1e400"]"#,
                0,
            ),
            (br#"["\u12"#, r#"["\u12"#, 0),
        ] {
            assert_eq!(json(text), (expected.to_owned(), strings));
        }
    }
}
