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
    record::{Delivery, Graph, Picture, Record, Samples, Watch},
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
        let drilled = drill.run(async |record| {
            *seen.borrow_mut() = look(place, record, name.as_deref(), folder).await?;
            Ok(())
        });
        let drilled = drilled.await;
        let (pictures, asked) = seen.into_inner();
        drill.record.pictures = pictures;
        let captured = drill.capture(asked, folder).await;
        // The first of two failures is the reason of the other.
        if let Err(error) = drilled.and(captured) {
            fs::write(folder.join("failure.txt"), format!("{error:#}\n"))?;
            return Err(error);
        }
        Ok(drill)
    }

    async fn capture(&self, asked: Vec<Delivery>, folder: &Path) -> Result<()> {
        let (system, record) = (self.place.system, &self.record);
        let [before, after] = &self.pages;
        write(
            folder,
            "record.json",
            &serde_json::to_string_pretty(record)?,
        )?;
        write(folder, "metrics-before.txt", before)?;
        write(folder, "metrics-after.txt", after)?;
        if let Some([before, after]) = &self.other {
            write(folder, "other-before.txt", &before.page)?;
            write(folder, "other-after.txt", &after.page)?;
        }
        for (watch, monitor) in record.watches.iter().zip(&system.monitors) {
            let folder = &folder.join(watch.folder());
            fs::create_dir_all(folder)?;
            let deliveries = match (&monitor.forwarder, &self.scenario.alert) {
                (Some(forwarder), _) => forwarder.since(record.started),
                (None, None) => Vec::new(),
                // By now Alertmanager has forgotten the alert.
                (None, Some(alert)) => {
                    let told = system.service.told(&alert.name).await?;
                    let status = told.map(News::as_str);
                    let alerts = json!([{"labels": {"alertname": alert.name}, "status": status}]);
                    let page = asked_of("status page of the service, once all was over", alerts);
                    asked.iter().cloned().chain([page]).collect()
                }
            };
            let notifications = serde_json::to_string_pretty(&deliveries)?;
            write(folder, "notifications.json", &notifications)?;
            let samples = samples(&monitor.prometheus, record, watch).await?;
            write(folder, "samples.json", &serde_json::to_string(&samples)?)?;
            let graph = graph(&monitor.prometheus, self.place.variant, record, watch).await?;
            write(folder, "query.json", &serde_json::to_string(&graph)?)?;
        }
        Ok(())
    }
}

/// Writes a file that ends with a line feed.
fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let text = format!("{}\n", text.trim_end());
    fs::write(folder.join(name), text).with_context(|| name.to_owned())
}

/// Returns an answer about alerts in the form of a notification.
fn asked_of(source: &str, alerts: Value) -> Delivery {
    let payload = json!({"source": source, "alerts": alerts});
    let at = Timestamp::now();
    Delivery { at, payload }
}

/// Takes the screenshots, and asks Alertmanager if nobody records its notifications.
async fn look(
    place: Place<'_>,
    record: &Record,
    name: Option<&str>,
    folder: &Path,
) -> Result<(Vec<Picture>, Vec<Delivery>)> {
    let mut pictures = Vec::new();
    if let Some(browser) = place.browser {
        pictures = browser
            .pictures(place.system, &record.watches, name, folder)
            .await?;
        (place.progress)(&format!("took {} pictures", pictures.len()));
    }
    let mut deliveries = Vec::new();
    for monitor in &place.system.monitors {
        if name.is_some() && monitor.forwarder.is_none() {
            let source = "GET /api/v2/alerts of Alertmanager, once the service had been told";
            deliveries.push(asked_of(source, monitor.alertmanager.alerts(name).await?));
        }
    }
    Ok((pictures, deliveries))
}

/// Returns every sample that the rules read from before the start to the end, as far back as they look.
async fn samples(prometheus: &Prometheus, record: &Record, watch: &Watch) -> Result<Samples> {
    let recorded = prometheus.recorded().await?;
    let lasted: Duration = record.ended.duration_since(record.started).try_into()?;
    let mut series = BTreeMap::new();
    for alert in watch.alerts() {
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
async fn graph(
    prometheus: &Prometheus,
    variant: Variant,
    record: &Record,
    watch: &Watch,
) -> Result<Graph> {
    let rule = watch.alerts().last().context("no rule was read")?;
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
