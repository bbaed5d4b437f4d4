//! Conducts one scenario: runs it, and writes its raw files (see [`crate::record`]).

use alerts::Variant;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeMap, fs, path::Path, time::Duration};

use crate::{
    drill::{Drill, Place},
    prometheus::Prometheus,
    promql,
    record::{Delivery, Graph, Picture, Record, Samples},
    scenario::Scenario,
    system::News,
};

/// How far back the alerts look: an hour at most, and Prometheus five more minutes for the last sample of a series.
const BACK: Duration = Duration::from_secs(65 * 60);

impl<'a> Drill<'a> {
    /// Runs a scenario and writes its files into `folder`.
    ///
    /// # Errors
    /// As [`Drill::run`], or if something cannot be captured. As many files as possible are written, and the
    /// reason into `failure.txt`.
    pub async fn conduct(place: Place<'a>, scenario: Scenario, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let name = scenario.alert.as_ref().map(|alert| alert.name.clone());
        let mut drill = Self::new(place, scenario);
        let seen = RefCell::default();
        let drilled = drill.run(async || {
            *seen.borrow_mut() = look(place, name.as_deref(), folder).await?;
            Ok(())
        });
        let drilled = drilled.await;
        let (pictures, deliveries) = seen.into_inner();
        drill.record.pictures = pictures;
        let captured = drill.capture(deliveries, folder).await;
        // The first of two failures is the reason of the other.
        if let Err(error) = drilled.and(captured) {
            fs::write(folder.join("failure.txt"), format!("{error:#}\n"))?;
            return Err(error);
        }
        Ok(drill)
    }

    async fn capture(&self, mut deliveries: Vec<Delivery>, folder: &Path) -> Result<()> {
        let (place, record) = (self.place, &self.record);
        match (place.forwarder, &self.scenario.alert) {
            (Some(forwarder), _) => deliveries = forwarder.since(record.started),
            // By now Alertmanager has forgotten the alert.
            (None, Some(alert)) => {
                let told = place.system.service.told(&alert.name).await?;
                let status = told.map(News::as_str);
                let alerts = json!([{"labels": {"alertname": alert.name}, "status": status}]);
                deliveries.push(asked(
                    "status page of the service, once all was over",
                    alerts,
                ));
            }
            (None, None) => {}
        }
        let prometheus = &place.system.prometheus;
        let [before, after] = &self.pages;
        for (name, text) in [
            ("record.json", serde_json::to_string_pretty(record)?),
            ("metrics-before.txt", before.clone()),
            ("metrics-after.txt", after.clone()),
            (
                "notifications.json",
                serde_json::to_string_pretty(&deliveries)?,
            ),
            (
                "samples.json",
                serde_json::to_string(&samples(prometheus, record).await?)?,
            ),
            (
                "query.json",
                serde_json::to_string(&graph(prometheus, place.variant, record).await?)?,
            ),
        ] {
            let text = format!("{}\n", text.trim_end());
            fs::write(folder.join(name), text).with_context(|| name.to_owned())?;
        }
        Ok(())
    }
}

/// Returns an answer about alerts in the form of a notification.
fn asked(source: &str, alerts: Value) -> Delivery {
    let payload = json!({"source": source, "alerts": alerts});
    let at = Timestamp::now();
    Delivery { at, payload }
}

/// Takes the screenshots, and asks Alertmanager if nobody records its notifications.
async fn look(
    place: Place<'_>,
    name: Option<&str>,
    folder: &Path,
) -> Result<(Vec<Picture>, Vec<Delivery>)> {
    let mut pictures = Vec::new();
    if let Some(browser) = place.browser {
        pictures = browser.pictures(place.system, name, folder).await?;
        (place.progress)(&format!("took {} pictures", pictures.len()));
    }
    let mut deliveries = Vec::new();
    if name.is_some() && place.forwarder.is_none() {
        let source = "GET /api/v2/alerts of Alertmanager, once the service had been told";
        deliveries.push(asked(source, place.system.alertmanager.alerts(name).await?));
    }
    Ok((pictures, deliveries))
}

/// Returns every sample that the rules read from before the start to the end, as far back as they look.
async fn samples(prometheus: &Prometheus, record: &Record) -> Result<Samples> {
    let recorded = prometheus.recorded().await?;
    let lasted: Duration = record.ended.duration_since(record.started).try_into()?;
    let mut series = BTreeMap::new();
    for alert in record.alerts() {
        let expression = promql::expanded(&alert.query, &recorded)?;
        for selector in promql::selectors(&expression) {
            let found = prometheus.samples(&selector, lasted + BACK, record.ended);
            let found = found.await?.into_iter();
            series.extend(found.map(|series| (series.metric.clone(), series)));
        }
    }
    let series = series.into_values().collect();
    Ok(Samples { series })
}

/// Returns the values of the rule's expression over time; of a baseline those of the last rule, the traffic itself.
async fn graph(prometheus: &Prometheus, variant: Variant, record: &Record) -> Result<Graph> {
    let rule = record.alerts().last().context("no rule was read")?;
    let (expression, comparison) = promql::split_comparison(&promql::tree(&rule.query)?);
    let step = Duration::from_secs(if variant == Variant::Test { 1 } else { 5 });
    let series = prometheus.range(&expression, record.started, record.ended, step);
    Ok(Graph {
        series: series.await?,
        expression,
        comparison,
        step_seconds: step.as_secs_f64(),
    })
}
