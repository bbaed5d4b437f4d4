//! Keys of the counter file, as text.

use request_counts::{Component, ComponentFailure, RequestLabels};
use telemetry::attribute;

/// Separates the parts of a key. No label contains a control character.
const SEPARATOR: &str = "\u{1f}";

/// The meaning of a slot: a component, and one of its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) component: Component,
    pub(super) counter: Counter,
}

/// A counter of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Requests(RequestLabels),
    Latency(String),
    Errors,
    Failures(ComponentFailure),
    Overflowed,
}

impl Key {
    pub(super) fn encode(&self) -> String {
        let Component {
            application,
            component,
        } = &self.component;
        [application, component, &*self.counter.encode()].join(SEPARATOR)
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, SEPARATOR);
        let component = Component::new(parts.next()?, parts.next()?);
        let counter = Counter::decode(parts.next()?)?;
        Some(Self { component, counter })
    }

    /// Returns the key for the key `text` of a file of version 1, whose counters were those of `owner`: it had no
    /// components.
    pub(super) fn from_version_1(text: &str, owner: &Component) -> String {
        let reached_none = text.ends_with(&[SEPARATOR, attribute::UNREPORTED].concat());
        let component = if reached_none { "" } else { &owner.component };
        [&*owner.application, component, text].join(SEPARATOR)
    }
}

impl Counter {
    fn encode(&self) -> String {
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

    fn decode(text: &str) -> Option<Self> {
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
        for counter in [
            Counter::Requests(labels("GET", Status::Code(404))),
            Counter::Requests(labels(OTHER, Status::Class(5))),
            Counter::Latency("unmatched".into()),
            Counter::Errors,
            Counter::Failures(ComponentFailure::Overload),
            Counter::Overflowed,
        ] {
            let component = Component::new("shop", "");
            let key = Key { component, counter };
            assert_eq!(Key::decode(&key.encode()), Some(key));
        }
        assert_eq!(Key::decode("shop\u{1f}carts\u{1f}something"), None);
    }
}
