//! What Prometheus knows: rules and their states, targets, queries.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{record::RawSeries, scenario, url::BaseUrl};

/// Labels of a series, alert or target.
pub type Labels = BTreeMap<String, String>;

/// A Prometheus server.
#[derive(Clone, Debug)]
pub struct Prometheus {
    url: BaseUrl,
}

/// Where an alert is on its way.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its condition does not hold.
    Inactive,
    /// It holds, and not yet for long enough.
    Pending,
    /// It has held for as long as its rule asks.
    Firing,
}

impl State {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// A rule that is loaded.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// Name of the alert or of the recorded series.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// Of alerts only: the state of the furthest of its instances.
    pub state: Option<State>,
    /// Of alerts only: how many seconds it has to hold.
    #[serde(default, rename = "duration")]
    pub hold: f64,
    /// Labels that the rule adds.
    #[serde(default)]
    pub labels: Labels,
    /// Texts and links, before templates are filled in.
    #[serde(default)]
    pub annotations: Labels,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// What the last evaluation said, if it failed.
    #[serde(default, rename = "lastError")]
    pub last_error: String,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// All of its labels, its name among them.
    pub labels: Labels,
    /// Texts and links.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: State,
    /// When it became pending.
    #[serde(rename = "activeAt")]
    pub active_at: String,
}

/// Something that is scraped.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its labels, `job` among them.
    pub labels: Labels,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// What went wrong with the last scrape.
    #[serde(rename = "lastError")]
    pub last_error: String,
}

/// A series and its value at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// A series and its values, each with its time in seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Times and values.
    pub values: Vec<(f64, f64)>,
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

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Targets {
    #[serde(rename = "activeTargets")]
    active: Vec<Target>,
}

/// Time in seconds and value as text, for the sake of infinities.
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

impl Prometheus {
    /// The server at `url`.
    pub fn new(url: BaseUrl) -> Self {
        Self { url }
    }

    /// Returns where it is.
    pub fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// Returns every rule that is loaded.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        let found: Groups = self.get("/api/v1/rules").await?;
        let rules = found.groups.into_iter().flat_map(|group| group.rules);
        Ok(rules.collect())
    }

    /// Returns the rule of an alert, which has one.
    ///
    /// # Errors
    /// If it has none, or more.
    pub async fn alert_rule(&self, alert: &scenario::Alert) -> Result<Rule> {
        let scenario::Alert { name, labels } = alert;
        let is = |rule: &Rule| {
            let has = |(label, value): &(&str, &str)| {
                rule.labels.get(*label).is_some_and(|found| found == value)
            };
            rule.state.is_some() && rule.name == *name && labels.iter().all(has)
        };
        let mut rules = self.rules().await?.into_iter().filter(is);
        match (rules.next(), rules.next()) {
            (Some(rule), None) => Ok(rule),
            (None, _) => bail!("{} has no alert {name} {labels:?}", self.url),
            _ => bail!("{} has more than one alert {name} {labels:?}", self.url),
        }
    }

    /// Returns the alerts that are pending or firing.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        let found: Alerts = self.get("/api/v1/alerts").await?;
        Ok(found.alerts)
    }

    /// Returns what is scraped.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn targets(&self) -> Result<Vec<Target>> {
        let found: Targets = self.get("/api/v1/targets?state=active").await?;
        Ok(found.active)
    }

    /// Returns what `expression` comes to at a time. A scalar is a sample without labels.
    ///
    /// # Errors
    /// If it is refused, or ranges over time.
    pub async fn query(&self, expression: &str, at: SystemTime) -> Result<Vec<Sample>> {
        let fields = [("query", expression.to_owned()), ("time", seconds(at))];
        let sample = |(metric, (_, value)): (Labels, Point)| {
            let value = number(&value)?;
            Ok(Sample {
                labels: metric,
                value,
            })
        };
        match self.post("/api/v1/query", &fields).await? {
            QueryResult::Scalar(point) => Ok(vec![sample((Labels::new(), point))?]),
            QueryResult::Vector(samples) => samples
                .into_iter()
                .map(|raw| sample((raw.metric, raw.value)))
                .collect(),
            QueryResult::Matrix(_) => bail!("{expression:?} is a range of values, not one"),
        }
    }

    /// Returns what `expression` comes to from `start` to `end`, in steps of `step`.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn query_range(
        &self,
        expression: &str,
        start: SystemTime,
        end: SystemTime,
        step: Duration,
    ) -> Result<Vec<Series>> {
        let series = self.raw_range(expression, start, end, step).await?;
        let series = series.into_iter().map(|raw| {
            let values = raw
                .values
                .iter()
                .map(|(time, value)| Ok((*time, number(value)?)));
            Ok(Series {
                labels: raw.metric,
                values: values.collect::<Result<_>>()?,
            })
        });
        series.collect()
    }

    /// Returns the same as Prometheus writes it.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn raw_range(
        &self,
        expression: &str,
        start: SystemTime,
        end: SystemTime,
        step: Duration,
    ) -> Result<Vec<RawSeries>> {
        let fields = [
            ("query", expression.to_owned()),
            ("start", seconds(start)),
            ("end", seconds(end)),
            ("step", step.as_secs_f64().to_string()),
        ];
        let answer = self.post("/api/v1/query_range", &fields).await?;
        self.matrix(expression, answer)
    }

    /// Returns every sample of the series of `selector` that was scraped in the time `before` another.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn samples(
        &self,
        selector: &str,
        before: Duration,
        at: SystemTime,
    ) -> Result<Vec<RawSeries>> {
        let query = format!("{selector}[{}ms]", before.as_millis());
        let fields = [("query", query.clone()), ("time", seconds(at))];
        let answer = self.post("/api/v1/query", &fields).await?;
        self.matrix(&query, answer)
    }

    fn matrix(&self, expression: &str, answer: QueryResult) -> Result<Vec<RawSeries>> {
        match answer {
            QueryResult::Matrix(series) => Ok(series),
            _ => bail!("{}: {expression:?} was not answered with series", self.url),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.url.get_ok(path).await?;
        self.data(path, &answer.body)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, fields: &[(&str, String)]) -> Result<T> {
        let answer = self.url.post_form(path, fields).await;
        let answer = answer.with_context(|| format!("asking {}", fields[0].1))?;
        self.data(path, &answer.body)
    }

    fn data<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T> {
        let unexpected = || {
            let body = String::from_utf8_lossy(body);
            format!("{}{path}: unexpected answer {body}", self.url)
        };
        let envelope: Envelope<T> = serde_json::from_slice(body).with_context(unexpected)?;
        match envelope {
            Envelope {
                data: Some(data), ..
            } => Ok(data),
            Envelope { error, .. } => bail!("{}", error.unwrap_or_else(unexpected)),
        }
    }
}

fn number(text: &str) -> Result<f64> {
    text.parse()
        .with_context(|| format!("not a number: {text:?}"))
}

/// Returns a time as Prometheus takes it.
fn seconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:.3}", since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(body: &str) -> Result<T> {
        Prometheus::new(BaseUrl::at("localhost:9090")).data("/api/v1/x", body.as_bytes())
    }

    #[test]
    fn values_are_read_as_prometheus_writes_them() {
        for (text, value) in [
            ("1.5e-3", 0.0015),
            ("+Inf", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(number(text).unwrap(), value);
        }
        assert!(number("NaN").unwrap().is_nan());
        assert!(number("").is_err());
    }

    #[test]
    fn states_are_ordered_as_an_alert_passes_them() {
        assert!(State::Inactive < State::Pending && State::Pending < State::Firing);
        let state: State = serde_json::from_str("\"pending\"").unwrap();
        assert_eq!(state, State::Pending);
    }

    #[test]
    fn an_answer_that_is_none_is_shown_with_its_url() {
        let Err(error) = read::<Alerts>("<html>") else {
            panic!("it was read");
        };
        let error = format!("{error:#}");
        assert!(error.contains("http://localhost:9090/api/v1/x"), "{error}");
        assert!(error.contains("<html>"), "{error}");
        let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        let Err(error) = read::<Alerts>(refused) else {
            panic!("it was read");
        };
        assert_eq!(error.to_string(), "parse error");
    }

    #[test]
    fn scalars_vectors_and_ranges_are_told_apart() {
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"2"]}}"#;
        assert!(matches!(read(scalar), Ok(QueryResult::Scalar((_, value))) if value == "2"));
        let vector =
            r#"{"data":{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[1,"2"]}]}}"#;
        assert!(
            matches!(read(vector), Ok(QueryResult::Vector(found)) if found[0].metric["job"] == "x")
        );
        let matrix =
            r#"{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}"#;
        assert!(
            matches!(read(matrix), Ok(QueryResult::Matrix(found)) if found[0].values.len() == 1)
        );
    }
}
