//! A client of Prometheus: rules with their states, and queries.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;
use testkit::{
    exposition::Labels,
    http::{Client, Url},
};

use crate::{promql::Recorded, record::RawSeries, scenario};

/// A Prometheus server.
#[derive(Clone, Debug)]
pub struct Prometheus(Client);

/// The state of an alert.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its condition does not hold.
    Inactive,
    /// It holds, but not yet for long enough.
    Pending,
    /// It has held for as long as the rule's `for`.
    Firing,
}

/// A rule that is loaded.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// Name of the alert or of the recorded series.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// State of an alert; recording rules have none.
    pub state: Option<State>,
    /// An alert's `for`, in seconds.
    #[serde(default, rename = "duration")]
    pub hold: f64,
    /// Labels that the rule adds.
    #[serde(default)]
    pub labels: Labels,
    /// Annotations, as templates.
    #[serde(default)]
    pub annotations: Labels,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// Error of the last evaluation.
    #[serde(default, rename = "lastError")]
    pub last_error: String,
}

/// A series and its value at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels.
    pub labels: Labels,
    /// Value.
    pub value: f64,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// Time in seconds, and value as text.
type Point = (f64, String);

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum QueryResult {
    Scalar(Point),
    Vector(Vec<RawSample>),
    Matrix(Vec<RawSeries>),
}

#[derive(Deserialize)]
struct RawSample {
    metric: Labels,
    value: Point,
}

impl Rule {
    /// Returns whether it is the rule of this alert.
    fn is(&self, alert: &scenario::Alert) -> bool {
        let mut labels = alert.labels.iter();
        self.state.is_some()
            && self.name == alert.name
            && labels.all(|(label, value)| self.labels.get(*label).is_some_and(|is| is == value))
    }
}

impl Prometheus {
    /// Makes a client of the server at `url`.
    pub fn new(url: Url) -> Self {
        Self(Client::new(url))
    }

    /// Returns the plain HTTP client.
    pub fn http(&self) -> &Client {
        &self.0
    }

    /// Returns every rule that is loaded.
    ///
    /// # Errors
    /// If there is no answer, or a malformed one.
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        let reply = self.0.get_ok("/api/v1/rules").await?;
        let found: Groups = data(&reply.body)?;
        Ok(found
            .groups
            .into_iter()
            .flat_map(|group| group.rules)
            .collect())
    }

    /// Returns the recording rules.
    ///
    /// # Errors
    /// If there is no answer, or a malformed one.
    pub async fn recorded(&self) -> Result<Recorded> {
        let rules = self.rules().await?.into_iter();
        let rules = rules.filter(|rule| rule.state.is_none());
        Ok(rules.map(|rule| (rule.name, rule.query)).collect())
    }

    /// Returns the rule of an alert.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub async fn alert_rule(&self, alert: &scenario::Alert) -> Result<Rule> {
        let mut rules = self.rules().await?.into_iter();
        let mut rules = rules.by_ref().filter(|rule| rule.is(alert));
        match (rules.next(), rules.next()) {
            (Some(rule), None) => Ok(rule),
            (None, _) => bail!("{} has no alert {alert:?}", self.0.url()),
            _ => bail!("{} has more than one alert {alert:?}", self.0.url()),
        }
    }

    /// Returns the value of `expression` at a time. A scalar is a sample without labels.
    ///
    /// # Errors
    /// If it is refused, or is a range of values.
    pub async fn query(&self, expression: &str, at: Timestamp) -> Result<Vec<Sample>> {
        let samples = match self
            .ask("query", expression, &[("time", seconds(at))])
            .await?
        {
            QueryResult::Scalar(value) => vec![RawSample {
                metric: Labels::new(),
                value,
            }],
            QueryResult::Vector(samples) => samples,
            QueryResult::Matrix(_) => bail!("{expression:?} is a range of values, not one"),
        };
        let samples = samples.into_iter().map(|RawSample { metric, value }| {
            let value = value.1.parse()?;
            let labels = metric;
            Ok(Sample { labels, value })
        });
        samples.collect()
    }

    /// Returns the values of `expression` from `start` to `end`, in steps of `step`.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn range(
        &self,
        expression: &str,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
    ) -> Result<Vec<RawSeries>> {
        let step = step.as_secs_f64().to_string();
        let range = [
            ("start", seconds(start)),
            ("end", seconds(end)),
            ("step", step),
        ];
        self.matrix("query_range", expression, &range).await
    }

    /// Returns every scraped sample of `selector` within the time `before` another.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn samples(
        &self,
        selector: &str,
        before: Duration,
        at: Timestamp,
    ) -> Result<Vec<RawSeries>> {
        let query = format!("{selector}[{}ms]", before.as_millis());
        self.matrix("query", &query, &[("time", seconds(at))]).await
    }

    async fn matrix(
        &self,
        kind: &str,
        expression: &str,
        fields: &[(&str, String)],
    ) -> Result<Vec<RawSeries>> {
        match self.ask(kind, expression, fields).await? {
            QueryResult::Matrix(series) => Ok(series),
            _ => bail!("{expression:?} is not a range of values"),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        kind: &str,
        expression: &str,
        fields: &[(&str, String)],
    ) -> Result<T> {
        let fields = [&[("query", expression.to_owned())], fields].concat();
        let reply = self.0.post_form(&format!("/api/v1/{kind}"), &fields).await;
        reply
            .and_then(|reply| data(&reply.body))
            .with_context(|| format!("asking {expression}"))
    }
}

fn data<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let unexpected = || format!("unexpected answer {}", String::from_utf8_lossy(body));
    let envelope: Envelope<T> = serde_json::from_slice(body).with_context(unexpected)?;
    match (envelope.data, envelope.error) {
        (Some(data), _) => Ok(data),
        (None, error) => bail!(error.unwrap_or_else(unexpected)),
    }
}

/// Returns a time as Prometheus reads it.
fn seconds(time: Timestamp) -> String {
    format!("{:.3}", time.as_millisecond() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexpected_answer_is_shown_and_a_refusal_has_its_reason() {
        let error = data::<Groups>(b"<html>").err().unwrap();
        assert!(format!("{error:#}").contains("<html>"), "{error:#}");
        let refused = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        let error = data::<Groups>(refused).err().unwrap();
        assert_eq!(error.to_string(), "parse error");
    }

    #[test]
    fn scalars_vectors_and_ranges_are_told_apart() {
        let read = |text: &str| data::<QueryResult>(text.as_bytes()).unwrap();
        let scalar = r#"{"data":{"resultType":"scalar","result":[1.5,"2"]}}"#;
        assert!(matches!(read(scalar), QueryResult::Scalar((_, value)) if value == "2"));
        let vector =
            r#"{"data":{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[1,"2"]}]}}"#;
        let is_x = |found: &[RawSample]| found[0].metric["job"] == "x";
        assert!(matches!(read(vector), QueryResult::Vector(found) if is_x(&found)));
        let matrix = r#"{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"+Inf"],[2,"NaN"]]}]}}"#;
        let QueryResult::Matrix(found) = read(matrix) else {
            panic!("not a matrix");
        };
        let numbers = found[0].numbers().unwrap();
        assert!(numbers[0] == (1.0, f64::INFINITY) && numbers[1].1.is_nan());
    }
}
