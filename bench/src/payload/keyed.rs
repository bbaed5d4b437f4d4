//! Numbered batches, as the instances of a component send them.

use super::{TARGET, unix_nanos};
use crate::load::Source;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use std::{rc::Rc, time::Duration};
use telemetry::{BatchKey, Delta, Observation, Resource, Series, attribute, otlp};

/// Batches of one instance, then comes the next: Spin ends an instance after as many requests.
const BATCHES_PER_INSTANCE: u64 = 128;
/// Stands for the instance in a template; as long as what replaces it.
const PLACEHOLDER: &str = "an-instance-of-32-characters----";
/// Routes and statuses of a large batch; together they are its points.
const ROUTES: usize = 125;
const STATUSES: [u16; 8] = [200, 201, 204, 400, 404, 405, 500, 503];
/// What every request took.
const DURATION: Duration = Duration::from_micros(1500);

/// An encoded batch in which only the instance is to be filled in.
#[derive(Clone, Debug)]
pub struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
    /// Requests that it counts, each a data point.
    pub points: u64,
}

/// The batches of one connection, an instance after the other.
#[derive(Debug)]
pub struct Keyed {
    template: Rc<Template>,
    /// Different for every connection.
    stream: u64,
    /// Instances of this connection so far.
    instances: u64,
    last: BatchKey,
    body: Bytes,
}

impl Template {
    /// A batch that counts one request.
    ///
    /// # Errors
    /// If it does not name its instance once.
    pub fn single() -> Result<Self> {
        Self::of([("/items".to_owned(), 200)])
    }

    /// A batch of 1 000 series.
    ///
    /// # Errors
    /// If it does not name its instance once.
    pub fn thousand() -> Result<Self> {
        Self::of(
            (0..ROUTES).flat_map(|route| {
                STATUSES.map(|status| (format!("/bench/{route}/{{id}}"), status))
            }),
        )
    }

    fn of(series: impl IntoIterator<Item = (String, u16)>) -> Result<Self> {
        let mut delta = Delta::default();
        for (route, status) in series {
            delta.record(Observation {
                series: Series::new("GET", &route, status, None),
                duration: DURATION,
            });
        }
        let resource = Resource {
            service_name: "bench".into(),
            service_version: env!("CARGO_PKG_VERSION").into(),
            instance: PLACEHOLDER.into(),
        };
        let now = unix_nanos();
        let body = String::from_utf8(otlp::encode(&resource, &delta, now, now))?;
        let (before, after) = body
            .split_once(PLACEHOLDER)
            .context("a batch names its instance")?;
        ensure!(
            !after.contains(PLACEHOLDER),
            "a batch names its instance twice"
        );
        Ok(Self {
            before: before.into(),
            after: after.into(),
            points: delta.requests(),
        })
    }

    fn body(&self, instance: &str) -> Bytes {
        [&self.before, instance.as_bytes(), &self.after]
            .concat()
            .into()
    }
}

impl Keyed {
    /// The batches of a connection; no other may have the number `stream`.
    pub fn new(template: &Rc<Template>, stream: u64) -> Self {
        let mut keyed = Self {
            template: Rc::clone(template),
            stream,
            instances: 0,
            last: BatchKey {
                instance: String::new(),
                sequence: 0,
            },
            body: Bytes::new(),
        };
        keyed.begin_instance();
        keyed
    }

    fn begin_instance(&mut self) {
        self.instances += 1;
        self.last = BatchKey {
            instance: format!("{:016x}{:016x}", self.stream, self.instances),
            sequence: 0,
        };
        self.body = self.template.body(&self.last.instance);
    }
}

impl Source for Keyed {
    fn next(&mut self) -> Result<Request<Full<Bytes>>> {
        if self.last.sequence == BATCHES_PER_INSTANCE {
            self.begin_instance();
        }
        self.last.sequence += 1;
        Ok(Request::post(TARGET)
            .header(header::CONTENT_TYPE, "application/json")
            .header(attribute::IDEMPOTENCY_KEY, self.last.to_string())
            .body(Full::new(self.body.clone()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_batch_belongs_to_the_instance_it_was_filled_in_for() {
        let template = Template::thousand().unwrap();
        let instance = "0".repeat(PLACEHOLDER.len());
        let batch = otlp::decode(&template.body(&instance)).unwrap();
        assert_eq!(batch.resource.instance, instance);
        assert_eq!(batch.delta.iter().count(), 1000);
        assert_eq!((batch.delta.requests(), template.points), (1000, 1000));
    }

    #[test]
    fn no_key_comes_twice_and_each_is_of_its_bodys_instance() {
        let template = Rc::new(Template::single().unwrap());
        let mut keys = HashSet::new();
        for stream in 0..2 {
            let mut keyed = Keyed::new(&template, stream);
            for index in 0..2 * BATCHES_PER_INSTANCE {
                let request = keyed.next().unwrap();
                let key = request.headers()[attribute::IDEMPOTENCY_KEY]
                    .to_str()
                    .unwrap();
                let key: BatchKey = key.parse().unwrap();
                assert_eq!(key.sequence, index % BATCHES_PER_INSTANCE + 1);
                let batch = otlp::decode(&keyed.body).unwrap();
                assert_eq!(batch.resource.instance, key.instance);
                assert!(keys.insert(key));
            }
        }
    }
}
