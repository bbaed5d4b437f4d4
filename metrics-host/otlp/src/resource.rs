//! The reporting resource: the labels `job` and `instance`, and its own metric `target_info`.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#resource-attributes-1>

use crate::{
    Labels,
    attribute::{self, Labelled, text},
    metrics::hash,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use request_counts::LabelSpace;
use sha2::{Digest, Sha256};
use std::{borrow::Cow, collections::BTreeMap};

/// Maximum number of attributes in `target_info`.
const MAX_ATTRIBUTES: usize = 64;
/// Prefixes of attributes that do not tell where a service runs. A process is not an instance: its successor
/// continues the series.
const NOT_IDENTIFYING: [&str; 3] = ["service.", "telemetry.", "process."];

/// A resource as it appears in `target_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The labels of `target_info`.
    pub labels: Labels,
}

impl Target {
    /// Returns the labels `job` and `instance`; there is one target for each pair.
    pub fn key(&self) -> [String; 2] {
        ["job", "instance"].map(|name| self.labels.value(name).into_owned())
    }
}

/// The sender of a message's part.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) job: String,
    pub(super) instance: String,
    /// The part of a stream's identity; unlike the labels, it has all attributes.
    pub(super) identity: Sha256,
    /// `None` if the resource is empty.
    pub(super) target: Option<Target>,
}

impl Sender {
    pub(super) fn of(resource: &Resource, space: LabelSpace) -> Self {
        let attributes: BTreeMap<_, _> = resource
            .attributes
            .iter()
            .map(|attribute| (&*attribute.key, text(attribute.value.as_ref())))
            .collect();
        let mut identity = Sha256::new();
        for (key, value) in &attributes {
            hash(&mut identity, key);
            hash(&mut identity, value);
        }
        let find = |key| attributes.get(key).filter(|value| !value.is_empty());
        let name = find(telemetry::attribute::SERVICE_NAME).map_or("", |name| &**name);
        let job = match find("service.namespace") {
            Some(namespace) if !name.is_empty() => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        };
        let instance = find(telemetry::attribute::SERVICE_INSTANCE_ID)
            .map_or_else(|| derived_instance(&attributes), |id| id.to_string());
        let mut sender = Self {
            job: cut(job, space.max_label_len),
            instance: cut(instance, space.max_label_len),
            identity,
            target: None,
        };
        sender.target = (!attributes.is_empty()).then(|| sender.target(resource, space));
        sender
    }

    /// Returns the labels `job` and `instance`.
    pub(super) fn labels(&self) -> impl Iterator<Item = Labelled<'_>> {
        let service = telemetry::attribute::SERVICE_NAME;
        let instance = telemetry::attribute::SERVICE_INSTANCE_ID;
        [
            Labelled::new("job", service, &self.job),
            Labelled::new("instance", instance, &self.instance),
        ]
        .into_iter()
    }

    fn target(&self, resource: &Resource, space: LabelSpace) -> Target {
        let longest = space.max_label_len;
        let shown = |attribute| {
            let label = Labelled::of(attribute);
            let is_shown = !attribute.key.is_empty() && label.name.len() <= longest;
            is_shown.then(|| Labelled {
                value: cut(label.value.into_owned(), longest).into(),
                ..label
            })
        };
        let attributes = resource.attributes.iter().take(MAX_ATTRIBUTES);
        let labelled = self.labels().chain(attributes.filter_map(shown)).collect();
        Target {
            labels: attribute::labels(labelled).into_iter().collect(),
        }
    }
}

/// Returns a name for the place where a service runs if its resource tells, so that two hosts of a service have two
/// series.
fn derived_instance(attributes: &BTreeMap<&str, Cow<'_, str>>) -> String {
    let mut identity = Sha256::new();
    let mut is_known = false;
    for (key, value) in attributes {
        if !NOT_IDENTIFYING.iter().any(|prefix| key.starts_with(prefix)) {
            is_known = true;
            hash(&mut identity, key);
            hash(&mut identity, value);
        }
    }
    let digest = identity.finalize();
    let digits = digest.iter().take(if is_known { 6 } else { 0 });
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// Shortens a text to at most `longest` bytes. The end of a shortened one is `…`.
fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SPACE: LabelSpace = LabelSpace {
        max_series: 100,
        max_label_len: 12,
    };

    fn sender(attributes: &[(&str, &str)]) -> Sender {
        let attributes = attributes.iter();
        let attributes: Value = attributes
            .map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } }))
            .collect();
        let resource = json!({ "attributes": attributes, "droppedAttributesCount": 0 });
        Sender::of(&serde_json::from_value(resource).unwrap(), SPACE)
    }

    #[test]
    fn job_and_instance_come_from_the_service() {
        for (attributes, job, instance) in [
            (
                &[("service.name", "a"), ("service.namespace", "n")][..],
                "n/a",
                "",
            ),
            (&[("service.name", "a"), ("service.namespace", "")], "a", ""),
            (
                &[("service.name", "a"), ("service.instance.id", "i")],
                "a",
                "i",
            ),
            (
                &[
                    ("service.name", "a"),
                    ("process.pid", "7"),
                    ("telemetry.sdk.name", "x"),
                ],
                "a",
                "",
            ),
            (&[], "", ""),
        ] {
            let sender = sender(attributes);
            assert_eq!((&*sender.job, &*sender.instance), (job, instance));
        }
    }

    #[test]
    fn two_hosts_of_a_service_are_two_instances() {
        let host = |name| sender(&[("service.name", "a"), ("host.name", name)]).instance;
        assert_ne!(host("h1"), host("h2"));
        assert_eq!(host("h1").len(), 12);
    }

    #[test]
    fn target_info_has_every_attribute() {
        let target = sender(&[
            ("service.name", "a"),
            ("job", "j"),
            ("os.type", "0123456789éé"),
        ])
        .target;
        let labels = target.unwrap().labels;
        let shown: Vec<_> = labels.pairs().skip(1).collect();
        let expected = [
            ("job", "j;a"),
            ("os_type", "012345678…"),
            ("service_name", "a"),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name, value.into())));
        assert!(sender(&[]).target.is_none());
    }
}
