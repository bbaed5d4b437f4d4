//! Conducts one scenario: runs it, and writes its raw files (see [`crate::record`]).

use alerts::Variant;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::json;
use std::{cell::RefCell, collections::BTreeMap, fs, path::Path, time::Duration};

use crate::{
    drill::Drill,
    forwarder::Forwarder,
    pictures::Browser,
    promql::{self, Selectors},
    record::{Delivery, Graph, Picture, Samples},
    scenario::Scenario,
    system::System,
};

/// How far back Prometheus looks for the last sample of a series.
const LOOKBACK: Duration = Duration::from_secs(300);

/// Where a scenario runs, and how.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The system under test.
    pub system: &'a System,
    /// Records the notifications; absent in front of a system that ran already.
    pub forwarder: Option<&'a Forwarder>,
    /// Variant of the loaded rules.
    pub variant: Variant,
    /// Takes the screenshots, if any are wanted.
    pub browser: Option<Browser>,
}

impl<'a> Place<'a> {
    /// Runs a scenario and writes its files into `folder`. `progress` takes lines about it, and `quiet` is called once
    /// nothing more is sent.
    ///
    /// # Errors
    /// Those of [`Drill::run`], or that something cannot be captured. As many files as possible are written, and the
    /// reason into `failure.txt`.
    pub async fn conduct(
        self,
        scenario: Scenario,
        folder: &Path,
        progress: &'a (dyn Fn(&str) + Sync),
        quiet: &'a dyn Fn(),
    ) -> Result<Drill<'a>> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let own = self.forwarder.is_some();
        let mut drill = Drill::new(self.system, own, scenario, self.variant, progress, quiet);
        let seen = RefCell::default();
        let drilled = drill.run(async || {
            let found = self.look(&scenario, folder).await?;
            progress(&format!("took {} pictures", found.0.len()));
            *seen.borrow_mut() = found;
            Ok(())
        });
        let drilled = drilled.await;
        let (pictures, deliveries) = seen.into_inner();
        drill.record.pictures = pictures;
        let captured = self.capture(&drill, deliveries, folder).await;
        // The first of two failures is the reason of the other.
        if let Err(error) = drilled.and(captured) {
            fs::write(folder.join("failure.txt"), format!("{error:#}\n"))?;
            return Err(error);
        }
        Ok(drill)
    }

    /// Takes the screenshots, and what Alertmanager says if nobody records its notifications.
    async fn look(
        &self,
        scenario: &Scenario,
        folder: &Path,
    ) -> Result<(Vec<Picture>, Vec<Delivery>)> {
        let name = scenario.alert.map(|alert| alert.name);
        let pictures = match self.browser {
            Some(browser) => browser.pictures(self.system, name, folder).await?,
            None => Vec::new(),
        };
        let mut deliveries = Vec::new();
        if name.is_some() && self.forwarder.is_none() {
            deliveries.push(Delivery {
                at: Timestamp::now(),
                payload: json!({
                    "source": "GET /api/v2/alerts of Alertmanager, once the service had been told",
                    "alerts": self.system.alertmanager.alerts(name).await?,
                }),
            });
        }
        Ok((pictures, deliveries))
    }

    async fn capture(
        &self,
        drill: &Drill<'_>,
        mut deliveries: Vec<Delivery>,
        folder: &Path,
    ) -> Result<()> {
        match (self.forwarder, drill.scenario.alert) {
            (Some(forwarder), _) => deliveries = forwarder.since(drill.record.started),
            // By now Alertmanager has forgotten the alert.
            (None, Some(alert)) => {
                let told = self.system.service.told(alert.name).await?;
                deliveries.extend(told.map(|news| Delivery {
                    at: Timestamp::now(),
                    payload: json!({
                        "source": "status page of the service, once all was over",
                        "alerts": [{"labels": {"alertname": alert.name}, "status": news.as_str()}],
                    }),
                }));
            }
            (None, None) => {}
        }
        let [before, after] = &drill.pages;
        for (name, text) in [
            ("record.json", serde_json::to_string_pretty(&drill.record)?),
            ("metrics-before.txt", before.clone()),
            ("metrics-after.txt", after.clone()),
            (
                "notifications.json",
                serde_json::to_string_pretty(&deliveries)?,
            ),
            (
                "samples.json",
                serde_json::to_string(&self.samples(drill).await?)?,
            ),
            (
                "query.json",
                serde_json::to_string(&self.graph(drill).await?)?,
            ),
        ] {
            let text = format!("{}\n", text.trim_end());
            fs::write(folder.join(name), text).with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    /// Returns every sample that the rules read from before the start to the end, as far back as they look.
    async fn samples(&self, drill: &Drill<'_>) -> Result<Samples> {
        let record = &drill.record;
        let prometheus = &self.system.prometheus;
        let recorded = prometheus.recorded().await?;
        let lasted = record.ended.duration_since(record.started).try_into()?;
        let mut series = BTreeMap::new();
        for alert in record.alerts() {
            let expression = promql::expanded(&alert.query, &recorded)?;
            let Selectors { texts, window } = promql::selectors(&expression);
            let before = window + lasted + LOOKBACK;
            for selector in texts {
                for found in prometheus.samples(&selector, before, record.ended).await? {
                    let longest = series.entry(found.metric.clone()).or_insert(found.clone());
                    if found.values.len() > longest.values.len() {
                        *longest = found;
                    }
                }
            }
        }
        let series = series.into_values().collect();
        Ok(Samples { series })
    }

    /// Returns the values of the rule's expression over time; of a baseline those of the last rule, the traffic itself.
    async fn graph(&self, drill: &Drill<'_>) -> Result<Graph> {
        let record = &drill.record;
        let rule = record.alerts().last().context("no rule was read")?;
        let (expression, comparison) = promql::split_comparison(&promql::tree(&rule.query)?);
        let step = match self.variant {
            Variant::Test => Duration::from_secs(1),
            Variant::Demo | Variant::Production => Duration::from_secs(5),
        };
        let prometheus = &self.system.prometheus;
        let series = prometheus.range(&expression, record.started, record.ended, step);
        Ok(Graph {
            series: series.await?,
            expression,
            comparison,
            step_seconds: step.as_secs_f64(),
        })
    }
}
