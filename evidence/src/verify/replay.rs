//! A Prometheus that knows nothing but recorded samples and the rules that were loaded.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write, fs, path::Path, process::Command, time::Duration};
use tempfile::TempDir;

use crate::{
    child::Child,
    port,
    prometheus::{Labels, Prometheus, Rule},
    record::Samples,
    rules::RuleFile,
    url::BaseUrl,
    wait::{Seen, SystemClock, until},
};

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);
/// How many recordings may lie on one another.
const DEPTH: usize = 8;
/// It scrapes nothing, and evaluates nothing by itself.
const CONFIGURATION: &str = "global:\n  evaluation_interval: 1d\nrule_files: [rules/*.yml]\n";

/// A running Prometheus; ends when dropped.
pub(super) struct Replay {
    /// To be asked.
    pub(super) prometheus: Prometheus,
    url: BaseUrl,
    rules: Vec<Rule>,
    // Before the folder it works in: fields are dropped in the order they are declared in.
    _child: Child,
    _folder: TempDir,
}

impl Replay {
    /// Starts one.
    ///
    /// # Errors
    /// If Prometheus is not there, or refuses samples or rules.
    pub(super) async fn start(samples: &Samples, rules: &[RuleFile]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let path = folder.path();
        fs::create_dir(path.join("rules"))?;
        for file in rules {
            let name = Path::new(&file.path).file_name();
            let name = name.with_context(|| file.path.clone())?;
            fs::write(path.join("rules").join(name), &file.text)?;
        }
        fs::write(path.join("prometheus.yml"), CONFIGURATION)?;
        fs::write(path.join("samples.om"), openmetrics(samples)?)?;
        load(path)?;

        let address = format!("127.0.0.1:{}", port::free()?);
        let mut command = Command::new("prometheus");
        command
            .arg(format!(
                "--config.file={}",
                path.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                path.join("data").display()
            ))
            // Samples of any age are to be asked about.
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address={address}"));
        let mut child = Child::start("prometheus", command, path)?;
        let url = BaseUrl::at(address);
        let ready = until(
            &SystemClock,
            "a Prometheus for the recorded samples",
            START,
            async || {
                if let Err(error) = child.check() {
                    return Ok(Seen::Yes(Err(error)));
                }
                let answer = url.get("/-/ready").await?;
                Ok(match answer.status.is_success() {
                    true => Seen::Yes(Ok(())),
                    false => Seen::NotYet(answer.status.to_string()),
                })
            },
        );
        let started = ready
            .await
            .map_err(anyhow::Error::from)
            .and_then(|ready| ready);
        started.with_context(|| child.log())?;
        let prometheus = Prometheus::new(url.clone());
        Ok(Self {
            rules: prometheus.rules().await?,
            prometheus,
            url,
            _child: child,
            _folder: folder,
        })
    }

    /// Returns an expression as this Prometheus writes it; other versions may write the same in another way.
    ///
    /// # Errors
    /// If it is none.
    pub(super) async fn formatted(&self, expression: &str) -> Result<String> {
        let fields = [("query", expression.to_owned())];
        let answer = self.url.post_form("/api/v1/format_query", &fields).await?;
        let answer: Value = serde_json::from_slice(&answer.body)?;
        let formatted = answer["data"].as_str().context("no expression")?;
        Ok(formatted.to_owned())
    }

    /// Returns the rule of the alert of this name that adds these labels.
    pub(super) fn alert(&self, name: &str, labels: &Labels) -> Option<&Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.state.is_some() && rule.name == name && rule.labels == *labels)
    }

    /// Returns an expression with what others record replaced by their own expressions: the samples are of what was
    /// scraped alone.
    ///
    /// # Errors
    /// If they record one another.
    pub(super) fn expanded(&self, expression: &str) -> Result<String> {
        let mut expanded = expression.to_owned();
        for _ in 0..DEPTH {
            let next = words(&expanded)
                .map(|word| match self.recorded(word) {
                    Some(rule) => format!("({})", rule.query),
                    None => word.to_owned(),
                })
                .collect();
            if next == expanded {
                return Ok(next);
            }
            expanded = next;
        }
        bail!("{expression:?} is recorded from itself")
    }

    fn recorded(&self, name: &str) -> Option<&Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.state.is_none() && rule.name == name)
    }
}

/// Splits an expression into names and what is between them.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    let mut rest = expression;
    std::iter::from_fn(move || {
        let named = is_name(rest.chars().next()?);
        let end = rest
            .find(|char| is_name(char) != named)
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Writes samples into the storage of a Prometheus.
fn load(folder: &Path) -> Result<()> {
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(folder.join("samples.om"))
        .arg(folder.join("data"))
        .output()
        .context("cannot start promtool: `make setup-test` installs it")?;
    ensure!(
        output.status.success(),
        "promtool does not take the samples: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Writes samples in the OpenMetrics format, the series of a name beside one another.
fn openmetrics(samples: &Samples) -> Result<String> {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for series in &samples.series {
        let name = series
            .metric
            .get("__name__")
            .context("a series without a name")?;
        let labels = series
            .metric
            .iter()
            .filter(|(label, _)| *label != "__name__");
        let labels = labels.map(|(label, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{label}=\"{value}\"")
        });
        let labels = labels.collect::<Vec<_>>().join(",");
        let text = names.entry(name).or_default();
        for (time, value) in &series.values {
            writeln!(text, "{name}{{{labels}}} {value} {time:.3}")?;
        }
    }
    let text: String = names.into_values().collect();
    Ok(text + "# EOF\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RawSeries;

    #[tokio::test]
    async fn what_is_recorded_is_replaced_by_its_own_expression() {
        let rules = alerts::render(alerts::Variant::Test, &alerts::Addresses::loopback()).unwrap();
        let rules = rules
            .into_iter()
            .filter(|file| file.path.starts_with("rules/"));
        let rules: Vec<_> = rules
            .map(|file| RuleFile {
                path: file.path.to_owned(),
                text: file.text,
            })
            .collect();
        let samples = Samples {
            series: vec![RawSeries {
                metric: Labels::from([("__name__".to_owned(), "up".to_owned())]),
                values: vec![(1e9, "1".to_owned())],
            }],
        };
        let replay = Replay::start(&samples, &rules).await.unwrap();
        let labels = [("burn_rate", "14.4"), ("severity", "critical")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let rule = replay.alert("AppErrorBudgetBurn", &labels.into()).unwrap();
        let expanded = replay.expanded(&rule.query).unwrap();
        assert!(!expanded.contains("job:"), "{expanded}");
        let formatted = replay.formatted(&expanded).await.unwrap();
        assert!(
            formatted.contains("rate(app_requests_total{"),
            "{formatted}"
        );
        assert_eq!(replay.expanded("up == 1").unwrap(), "up == 1");
        assert!(replay.alert("AppErrorBudgetBurn", &Labels::new()).is_none());
    }

    #[test]
    fn an_expression_is_names_and_what_is_between_them() {
        let split: Vec<_> = words("job:a:b > 14.4 * x{y=\"z\"}").collect();
        assert_eq!(split.concat(), "job:a:b > 14.4 * x{y=\"z\"}");
        assert_eq!(split[0], "job:a:b");
        assert!(split.contains(&"x") && !split.contains(&"job"));
    }
}
