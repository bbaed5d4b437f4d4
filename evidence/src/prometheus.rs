//! A client of Prometheus: rules with their states, and queries.

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use testkit::{
    exposition::Labels,
    http::{Client, Url},
};

use crate::{
    promql::Recorded,
    record::{AlertRecord, RawSeries},
    scenario,
};

/// A Prometheus server.
#[derive(Clone, Debug)]
pub struct Prometheus(Client);

/// The state of an alert.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The condition does not hold.
    Inactive,
    /// The condition holds, but not yet for long enough.
    Pending,
    /// The condition has held for as long as the rule's `for`.
    Firing,
}

/// A rule that is loaded.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// Name, expression, `for`, labels and annotations.
    #[serde(flatten)]
    pub alert: AlertRecord,
    /// State of an alert; recording rules have none.
    pub state: Option<State>,
    /// The alerts that are not inactive.
    #[serde(default)]
    pub alerts: Vec<Active>,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// Error of the last evaluation.
    #[serde(default, rename = "lastError")]
    pub last_error: String,
}

/// An alert of a rule: for one application or component.
#[derive(Clone, Debug, Deserialize)]
pub struct Active {
    /// Labels.
    pub labels: Labels,
    /// State.
    pub state: State,
}

/// A series and its value at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels.
    pub labels: Labels,
    /// Value.
    pub value: f64,
}

/// A sample as the API writes it: time in seconds, and value as text.
#[derive(Deserialize)]
struct RawSample {
    metric: Labels,
    value: (f64, String),
}

impl Rule {
    /// Returns whether it is the rule of this alert.
    fn is(&self, alert: &scenario::Alert) -> bool {
        let mut labels = alert.labels.iter();
        let has = |(label, value)| self.alert.labels.get(label) == Some(value);
        self.state.is_some() && self.alert.name == alert.name && labels.all(has)
    }

    /// Returns the state of its alert for one application. An alert that names none speaks for all.
    pub fn state_for(&self, application: &str) -> State {
        let own = self
            .alerts
            .iter()
            .filter(|one| is_of(&one.labels, application));
        let states = own.map(|one| one.state);
        states.max().unwrap_or(State::Inactive)
    }

    /// Returns the other applications for which its alert is pending or fires.
    pub fn others(&self, application: &str) -> Vec<&str> {
        let others = self
            .alerts
            .iter()
            .filter(|one| !is_of(&one.labels, application));
        others.map(|one| application_of(&one.labels)).collect()
    }
}

/// Returns whether labels are of an application, or name none.
pub fn is_of(labels: &Labels, application: &str) -> bool {
    ["", application].contains(&application_of(labels))
}

fn application_of(labels: &Labels) -> &str {
    labels.get("application").map_or("", String::as_str)
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

    /// Returns its version, such as `2.42`.
    ///
    /// # Errors
    /// If there is no answer, or a malformed one.
    pub async fn version(&self) -> Result<String> {
        let reply = self.0.get_ok("/api/v1/status/buildinfo").await?;
        let version = &data(&reply.body)?["version"];
        short(version).with_context(|| format!("{}: no version", self.0.url()))
    }

    /// Returns every rule that is loaded.
    ///
    /// # Errors
    /// If there is no answer, or a malformed one.
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        let reply = self.0.get_ok("/api/v1/rules").await?;
        let mut rules = Vec::new();
        let data = data(&reply.body)?;
        for group in data["groups"].as_array().into_iter().flatten() {
            rules.extend(Vec::<Rule>::deserialize(&group["rules"])?);
        }
        Ok(rules)
    }

    /// Returns the recording rules.
    ///
    /// # Errors
    /// If there is no answer, or a malformed one.
    pub async fn recorded(&self) -> Result<Recorded> {
        let rules = self.rules().await?.into_iter();
        let rules = rules.filter(|rule| rule.state.is_none());
        let rules = rules.map(|rule| (rule.alert.name, rule.alert.query));
        Ok(rules.collect())
    }

    /// Returns the rule of each alert.
    ///
    /// # Errors
    /// If an alert has no rule, or more than one.
    pub async fn alert_rules(&self, alerts: &[scenario::Alert]) -> Result<Vec<Rule>> {
        let rules = self.rules().await?;
        let rule = |alert| {
            let mut found = rules.iter().filter(|rule| rule.is(alert));
            match (found.next(), found.next()) {
                (Some(rule), None) => Ok(rule.clone()),
                (None, _) => bail!("{} has no {alert:?}", self.0.url()),
                _ => bail!("{} has more than one {alert:?}", self.0.url()),
            }
        };
        alerts.iter().map(rule).collect()
    }

    /// Returns the value of `expression` at a time. A scalar is a sample without labels.
    ///
    /// # Errors
    /// If it is refused, or is a range of values.
    pub async fn query(&self, expression: &str, at: Timestamp) -> Result<Vec<Sample>> {
        let time = ("time", seconds(at));
        let (kind, result) = self.ask("query", expression, &[time]).await?;
        let samples: Vec<RawSample> = match &*kind {
            "scalar" => vec![RawSample {
                metric: Labels::new(),
                value: Deserialize::deserialize(result)?,
            }],
            "vector" => Deserialize::deserialize(result)?,
            _ => bail!("{expression:?} is a {kind}, not one value"),
        };
        let samples = samples.into_iter().map(|RawSample { metric, value }| {
            let (labels, value) = (metric, value.1.parse()?);
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
        let (kind, result) = self.ask(kind, expression, fields).await?;
        ensure!(kind == "matrix", "{expression:?} is a {kind}");
        Ok(Deserialize::deserialize(result)?)
    }

    /// Returns the type of an answer, and the answer.
    async fn ask(
        &self,
        kind: &str,
        expression: &str,
        fields: &[(&str, String)],
    ) -> Result<(String, Value)> {
        let fields = [&[("query", expression.to_owned())], fields].concat();
        let reply = self.0.post_form(&format!("/api/v1/{kind}"), &fields).await;
        let data = reply.and_then(|reply| data(&reply.body));
        let mut data = data.with_context(|| format!("asking {expression}"))?;
        let kind = data["resultType"].as_str().unwrap_or_default().to_owned();
        Ok((kind, data["result"].take()))
    }
}

/// Returns the data of an answer, or an error with the reason of a refusal.
fn data(body: &[u8]) -> Result<Value> {
    let mut answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
    match answer.get_mut("data").map(Value::take) {
        Some(data) if !data.is_null() => Ok(data),
        _ => bail!("refused: {}", String::from_utf8_lossy(body)),
    }
}

/// Returns the first two numbers of a version.
pub(crate) fn short(version: &Value) -> Option<String> {
    let mut numbers = version.as_str()?.split('.');
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}

/// Returns a time as Prometheus reads it.
fn seconds(time: Timestamp) -> String {
    format!("{:.3}", time.as_millisecond() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown() {
        for body in ["<html>", r#"{"status":"error","error":"parse error"}"#] {
            let error = data(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(body), "{error}");
        }
        assert_eq!(data(br#"{"data":{"a":1}}"#).unwrap()["a"], 1);
    }

    #[test]
    fn an_alert_of_one_application_is_not_that_of_another() {
        let rule = r#"{"name": "A", "query": "a > 1", "state": "firing", "health": "ok", "alerts": [
            {"labels": {"application": "items"}, "state": "firing"},
            {"labels": {"application": "orders", "component": "a"}, "state": "pending"}]}"#;
        let rule: Rule = serde_json::from_str(rule).unwrap();
        let states = ["items", "orders", "shop"].map(|name| rule.state_for(name));
        assert_eq!(states, [State::Firing, State::Pending, State::Inactive]);
        assert_eq!(rule.others("items"), ["orders"]);
        assert_eq!(short(&"3.5.3+ds1".into()).unwrap(), "3.5");
    }

    #[test]
    fn values_are_read_as_prometheus_writes_them() {
        let series = r#"{"metric":{},"values":[[1,"+Inf"],[2,"NaN"],[3.5,"1.5e-3"]]}"#;
        let series: RawSeries = serde_json::from_str(series).unwrap();
        let [infinite, none, small] = series.numbers().unwrap()[..] else {
            panic!("{series:?}");
        };
        assert!(infinite == (1.0, f64::INFINITY) && none.1.is_nan() && small == (3.5, 0.0015));
        assert!(State::Inactive < State::Pending && State::Pending < State::Firing);
    }
}
