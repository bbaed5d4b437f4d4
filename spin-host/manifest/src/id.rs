//! Names in a manifest: words of letters and digits, separated by `-` or `_`.

/// The reason why a text is not a name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a name; expected {expected}")]
pub(crate) struct IdError {
    name: String,
    expected: &'static str,
}

/// Checks the id of a component.
pub(crate) fn component(name: &str) -> Result<(), IdError> {
    check(
        name,
        "-",
        true,
        "words of letters and digits, separated by -",
    )
}

/// Checks the name of a variable.
pub(crate) fn variable(name: &str) -> Result<(), IdError> {
    check(
        name,
        "_",
        false,
        "words of lower-case letters and digits, separated by _",
    )
}

/// Checks the label of a store or database.
pub(crate) fn label(name: &str) -> Result<(), IdError> {
    let expected = "words of letters and digits, separated by - or _";
    let separator = if name.contains('_') { "_" } else { "-" };
    check(name, separator, true, expected)
}

fn check(
    name: &str,
    separator: &str,
    may_be_upper: bool,
    expected: &'static str,
) -> Result<(), IdError> {
    let is_word = |word: &str| {
        let starts = |is: fn(&char) -> bool| word.chars().next().is_some_and(|first| is(&first));
        let consists = |is: fn(&u8) -> bool| word.bytes().all(|b| is(&b) || b.is_ascii_digit());
        (starts(char::is_ascii_lowercase) && consists(u8::is_ascii_lowercase))
            || (may_be_upper
                && starts(char::is_ascii_uppercase)
                && consists(u8::is_ascii_uppercase))
    };
    name.split(separator)
        .all(is_word)
        .then_some(())
        .ok_or_else(|| IdError {
            name: name.to_owned(),
            expected,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_spin() {
        for name in ["a", "shop-front", "HTTP2-a", "a1"] {
            assert_eq!(component(name), Ok(()));
        }
        for name in [
            "", "a_b", "a--b", "1a", "a-1", "Ab", "a b", "../x", "-a", "é",
        ] {
            assert!(component(name).is_err(), "{name}");
        }
        for name in ["a", "telemetry_host", "a1"] {
            assert_eq!(variable(name), Ok(()));
        }
        for name in ["", "A", "a-b", "a__b", "a_", "_a"] {
            assert!(variable(name).is_err(), "{name}");
        }
        for name in ["default", "my-store", "my_store"] {
            assert_eq!(label(name), Ok(()));
        }
        for name in ["", "../x", "a.b", "a-b_c"] {
            assert!(label(name).is_err(), "{name}");
        }
    }
}
