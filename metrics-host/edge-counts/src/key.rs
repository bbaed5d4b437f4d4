//! Keys of the counter file as text.

use request_counts::{ComponentFailure, RequestLabels};

/// Separates the parts of a key; a control character, which no label holds.
const SEPARATOR: &str = "\u{1f}";

/// The counter that a slot of the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Requests(RequestLabels),
    Latency(String),
    Errors,
    Failures(ComponentFailure),
    Overflowed,
}

impl Key {
    pub(super) fn encode(&self) -> String {
        match self {
            Self::Requests(RequestLabels {
                endpoint,
                method,
                status,
            }) => ["requests", method, &status.to_string(), endpoint].join(SEPARATOR),
            Self::Latency(endpoint) => ["latency", endpoint].join(SEPARATOR),
            Self::Errors => "errors".into(),
            Self::Failures(failure) => ["failures", failure.as_str()].join(SEPARATOR),
            Self::Overflowed => "overflowed".into(),
        }
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split(SEPARATOR).collect();
        Some(match parts[..] {
            ["requests", method, status, endpoint] => {
                Self::Requests(RequestLabels::stored(endpoint.into(), method, status)?)
            }
            ["latency", endpoint] => Self::Latency(endpoint.into()),
            ["errors"] => Self::Errors,
            ["failures", reason] => {
                let known = ComponentFailure::ALL
                    .into_iter()
                    .find(|known| known.as_str() == reason);
                Self::Failures(known?)
            }
            ["overflowed"] => Self::Overflowed,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use request_counts::{OTHER, Status};

    #[test]
    fn a_key_reads_back_as_written() {
        let labels = |method, status| RequestLabels {
            endpoint: "/items/{id}".into(),
            method,
            status,
        };
        for key in [
            Key::Requests(labels("GET", Status::Code(404))),
            Key::Requests(labels(OTHER, Status::Class(5))),
            Key::Latency("unmatched".into()),
            Key::Errors,
            Key::Failures(ComponentFailure::Overload),
            Key::Overflowed,
        ] {
            assert_eq!(Key::decode(&key.encode()), Some(key));
        }
        assert_eq!(Key::decode("something\u{1f}else"), None);
    }
}
