//! Numbers in JSON, read exactly. `serde_json` may miss the last bit, and a counter that is a bit less after a restart
//! looks like a reset to Prometheus.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    parse(<&RawValue>::deserialize(from)?)
}

pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let written = Option::<&RawValue>::deserialize(from)?;
    written.map(parse).transpose()
}

pub(super) fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let written = Vec::<&RawValue>::deserialize(from)?;
    written.into_iter().map(parse).collect()
}

fn parse<E: Error>(written: &RawValue) -> Result<f64, E> {
    written.get().parse().map_err(E::custom)
}
