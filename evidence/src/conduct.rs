//! Conducts one scenario: drills it, and writes down what a run's folder has of it (see [`crate::record`]).

use alerts::Variant;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::json;
use std::{cell::RefCell, fs, path::Path, time::SystemTime};

use crate::{
    browser::Browser,
    capture,
    drill::{Drill, Outcome},
    forwarder::Forwarder,
    pages,
    record::{Delivery, Picture},
    scenario::Scenario,
    service::News,
    system::System,
    wait::SystemClock,
};

/// Where scenarios are conducted, and how.
pub struct Place<'a> {
    /// What they run against.
    pub system: &'a System,
    /// What Alertmanager tells goes through it; there is none in a system that ran already.
    pub forwarder: Option<&'a Forwarder>,
    /// The rules that are loaded there.
    pub variant: Variant,
    /// Takes the pictures, if any are wanted.
    pub browser: Option<&'a Browser>,
}

/// What was seen while the alert fired.
#[derive(Default)]
struct Seen {
    pictures: Vec<Picture>,
    deliveries: Vec<Delivery>,
}

impl Place<'_> {
    /// Runs a scenario and writes its files into `folder`, which is made for it. `progress` is told of what happens, a
    /// line at a time, and `quiet` once nothing more is sent.
    ///
    /// # Errors
    /// What [`Drill::run`] fails with, or that something cannot be captured. The files are written as far as there is
    /// something to write, with the reason in `failure.txt`.
    pub async fn conduct(
        &self,
        scenario: Scenario,
        folder: &Path,
        progress: &(dyn Fn(&str) + Sync),
        quiet: &dyn Fn(),
    ) -> Result<Outcome> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut outcome = Outcome::begin(SystemTime::now());
        let seen = RefCell::new(Seen::default());
        let drill = Drill {
            system: self.system,
            scenario,
            variant: self.variant,
            clock: &SystemClock,
            progress,
            quiet,
        };
        let drilled = drill.run(&mut outcome, async || {
            let found = self.look(&scenario, folder).await?;
            for Picture { file, .. } in &found.pictures {
                progress(&format!("took {file}"));
            }
            *seen.borrow_mut() = found;
            Ok(())
        });
        let drilled = drilled.await;
        let captured = self.capture(&scenario, &outcome, seen.into_inner(), folder);
        let captured = captured.await;
        // The first of the two failures is the reason of the other.
        if let Err(error) = drilled.and(captured) {
            let reason = folder.join("failure.txt");
            fs::write(&reason, format!("{error:#}\n"))
                .with_context(|| reason.display().to_string())?;
            return Err(error);
        }
        Ok(outcome)
    }

    async fn look(&self, scenario: &Scenario, folder: &Path) -> Result<Seen> {
        let alert = scenario.alert.as_ref();
        let pictures = match self.browser {
            Some(browser) => pages::pictures(browser, self.system, alert, folder).await?,
            None => Vec::new(),
        };
        let deliveries = match alert {
            Some(alert) if self.forwarder.is_none() => vec![Delivery {
                at: Timestamp::now(),
                payload: json!({
                    "source": "GET /api/v2/alerts of Alertmanager, once the service had been told",
                    "alerts": self.system.alertmanager.raw_alerts_named(alert.name).await?,
                }),
            }],
            _ => Vec::new(),
        };
        Ok(Seen {
            pictures,
            deliveries,
        })
    }

    async fn capture(
        &self,
        scenario: &Scenario,
        outcome: &Outcome,
        seen: Seen,
        folder: &Path,
    ) -> Result<()> {
        let Seen {
            pictures,
            mut deliveries,
        } = seen;
        let system = match self.forwarder {
            Some(forwarder) => {
                deliveries = forwarder.since(outcome.timeline.start.try_into()?);
                "own"
            }
            None => {
                deliveries.extend(self.told_of_end(scenario).await?);
                "running"
            }
        };
        let record = capture::record(scenario, self.variant, system, outcome, pictures)?;
        let samples = capture::samples(&self.system.prometheus, outcome).await?;
        let graph = capture::graph(&self.system.prometheus, self.variant, outcome).await?;
        let [before, after] = &outcome.pages;
        for (name, text) in [
            ("record.json", serde_json::to_string_pretty(&record)?),
            ("metrics-before.txt", before.clone()),
            ("metrics-after.txt", after.clone()),
            ("samples.json", serde_json::to_string(&samples)?),
            ("query.json", serde_json::to_string(&graph)?),
            (
                "notifications.json",
                serde_json::to_string_pretty(&deliveries)?,
            ),
        ] {
            let file = folder.join(name);
            let text = format!("{}\n", text.trim_end());
            fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    /// Returns what a system that ran already tells of the end of an alert: Alertmanager has forgotten it by then.
    async fn told_of_end(&self, scenario: &Scenario) -> Result<Option<Delivery>> {
        let Some(alert) = &scenario.alert else {
            return Ok(None);
        };
        let told = self.system.service.told(alert.name).await?;
        Ok(told.map(|news: News| Delivery {
            at: Timestamp::now(),
            payload: json!({
                "source": "status page of the service, once all was over",
                "alerts": [{"labels": {"alertname": alert.name}, "status": news.as_str()}],
            }),
        }))
    }
}
