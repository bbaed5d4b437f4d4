//! Runs a scenario: sends its traffic, and watches its alert from the first stage to the last.

use alerts::Variant;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use std::{
    ops::RangeBounds,
    time::{Duration, Instant},
};
use testkit::{
    counts::Counts,
    wait::{Missed, Seen, Wait},
};
use tokio::time::sleep;

use crate::{
    prometheus::{Rule, State},
    record::{AlertRecord, Record, Stage, Step},
    rules,
    scenario::{APP_ALERTS, Alert, Cause, Scenario},
    system::{News, System},
    traffic::{Running, Sent, SharedSent, Traffic, lock},
};

/// How long counters may take to show the last answer.
const COUNTED: Duration = Duration::from_secs(10);
/// Pause between two polls.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause between two lines about a wait.
const LINES: Duration = Duration::from_secs(15);
/// Pause between two looks at alerts that are to stay inactive.
const LOOK: Duration = Duration::from_secs(1);

/// A claim that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum NotProven {
    /// A stage was not reached in time.
    #[error(transparent)]
    Missed(#[from] Missed),
    /// An alert did not stay inactive.
    #[error("{0} did not stay inactive: {1}")]
    Moved(&'static str, String),
    /// Client and service counted differently.
    #[error("client and counters differ: {0}")]
    Miscounted(String),
    /// Requests without an answer may be counted or not.
    #[error("{0} requests were not answered: {1}")]
    Unanswered(u64, String),
}

/// A scenario, and what is known of it so far.
pub struct Drill<'a> {
    /// The system under test.
    pub system: &'a System,
    /// The scenario.
    pub scenario: Scenario,
    /// Variant of the loaded rules.
    pub variant: Variant,
    /// Takes lines about the progress.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Called once nothing more is sent, and all of it is counted.
    pub quiet: &'a dyn Fn(),
    /// The record, as far as the scenario came.
    pub record: Record,
    /// The service's metrics before the first request, and after the last answer.
    pub pages: [String; 2],
    /// The end of the traffic that drives the alert (or whose end does), and the requests by then.
    pub driven: (Timestamp, Sent),
    sent: SharedSent,
    counted_before: Counts,
    told_before: [u64; 2],
}

impl<'a> Drill<'a> {
    /// Prepares a scenario. `own` says whether the system was started for it.
    pub fn new(
        system: &'a System,
        own: bool,
        scenario: Scenario,
        variant: Variant,
        progress: &'a (dyn Fn(&str) + Sync),
        quiet: &'a dyn Fn(),
    ) -> Self {
        let now = Timestamp::now();
        let record = Record {
            scenario: scenario.name.into(),
            variant: rules::name(variant).into(),
            system: if own { "own" } else { "running" }.into(),
            started: now,
            ended: now,
            traffic: scenario.traffic_in_words(variant),
            arguments: scenario.arguments(variant),
            sent: 0,
            unanswered: 0,
            answered: Counts::default(),
            counted: Counts::default(),
            alert: None,
            watched: Vec::new(),
            pictures: Vec::new(),
        };
        Self {
            system,
            scenario,
            variant,
            progress,
            quiet,
            record,
            pages: Default::default(),
            driven: (now, Sent::default()),
            sent: SharedSent::default(),
            counted_before: Counts::default(),
            told_before: [0; 2],
        }
    }

    /// Runs the scenario to its end. `witness` looks at the system while the alert fires and the service was notified, or
    /// when all alerts have been inactive for long enough.
    ///
    /// # Errors
    /// [`NotProven`] if a stage is not reached in time or a count differs; others if nothing can be said.
    pub async fn run(&mut self, witness: impl AsyncFn() -> Result<()>) -> Result<()> {
        self.before().await?;
        let done = self.stages(witness).await;
        let sent = lock(&self.sent).clone();
        self.record.sent = sent.sent;
        self.record.unanswered = sent.unanswered;
        self.record.answered = sent.answered;
        self.record.ended = Timestamp::now();
        done
    }

    async fn stages(&mut self, witness: impl AsyncFn() -> Result<()>) -> Result<()> {
        let Some(alert) = self.scenario.alert else {
            return self.stay_inactive(witness).await;
        };
        let running;
        match self.scenario.cause {
            Cause::Traffic | Cause::Nothing => {
                running = self.drive(&alert).await?;
                self.reach(&alert, Stage::Notified).await?;
                witness().await?;
                self.drive_on(running).await?;
                let recovery = self.scenario.recovery(self.variant);
                let recovery = recovery.map(|traffic| self.send(traffic));
                if recovery.is_none() {
                    self.compare().await?;
                }
                self.reach(&alert, Stage::Resolved).await?;
                if let Some((running, _)) = recovery {
                    self.stop(running).await?;
                    self.compare().await?;
                }
                self.reach(&alert, Stage::NotifiedOfEnd).await
            }
            Cause::Events => {
                running = self.drive(&alert).await?;
                // Every further event would keep it firing for longer.
                self.drive_on(running).await?;
                self.compare().await?;
                self.reach(&alert, Stage::Notified).await?;
                witness().await?;
                self.reach(&alert, Stage::Resolved).await?;
                self.reach(&alert, Stage::NotifiedOfEnd).await
            }
            Cause::Silence => {
                running = self.send(self.scenario.traffic);
                self.reach(&alert, Stage::Inactive).await?;
                self.drive_on(running).await?;
                self.fire(&alert).await?;
                self.reach(&alert, Stage::Notified).await?;
                witness().await?;
                let (running, _) = self.send(self.scenario.traffic);
                self.reach(&alert, Stage::Resolved).await?;
                // Without traffic it would soon fire again.
                self.reach(&alert, Stage::NotifiedOfEnd).await?;
                self.stop(running).await?;
                self.compare().await
            }
        }
    }

    /// Reads the rules and the counters.
    async fn before(&mut self) -> Result<()> {
        let may_fire = matches!(self.scenario.cause, Cause::Silence | Cause::Nothing);
        let driven = self.scenario.alert;
        for alert in driven
            .as_ref()
            .map_or(&APP_ALERTS[..], std::slice::from_ref)
        {
            let rule = self.system.prometheus.alert_rule(alert).await?;
            ensure!(
                may_fire || rule.state != Some(State::Firing),
                "{} fires already: wait until it is resolved, or let a system be started",
                alert.name
            );
            let alert = AlertRecord {
                name: rule.name,
                query: rule.query,
                for_seconds: rule.hold,
                labels: rule.labels,
                annotations: rule.annotations,
                timeline: Vec::new(),
            };
            match driven {
                Some(_) => self.record.alert = Some(alert),
                None => self.record.watched.push(alert),
            }
        }
        let (page, metrics) = self.system.service.metrics().await?;
        self.pages[0] = page;
        self.counted_before = Counts::of(&metrics);
        self.told_before = [News::Firing, News::Resolved].map(|news| news.counted(&metrics));
        Ok(())
    }

    /// Sends healthy traffic, and sees that every alert of the application stays inactive.
    async fn stay_inactive(&mut self, witness: impl AsyncFn() -> Result<()>) -> Result<()> {
        let (running, _) = self.send(self.scenario.traffic);
        let limit = self.scenario.limit(Stage::Inactive, self.variant);
        self.wait("all inactive", limit, async || {
            let moved = self.moved().await?;
            Ok(Seen::when(moved.is_none(), format!("{moved:?}")))
        })
        .await?;
        self.note(Stage::Inactive);
        let least = self.scenario.least;
        self.tell(&format!(
            "all inactive, to stay so for {} s",
            least.as_secs()
        ));
        let start = Instant::now();
        while start.elapsed() < least {
            if let Some((name, state)) = self.moved().await? {
                return Err(NotProven::Moved(name, state).into());
            }
            sleep(LOOK).await;
        }
        witness().await?;
        self.driven = (Timestamp::now(), lock(&self.sent).clone());
        self.stop(running).await?;
        self.compare().await
    }

    /// Returns an alert of the application that is not inactive, and its state.
    async fn moved(&self) -> Result<Option<(&'static str, String)>> {
        let rules = self.system.prometheus.rules().await?;
        for Alert { name, .. } in APP_ALERTS {
            let mut rules = rules.iter();
            let rule = rules.find(|rule| rule.name == name && rule.state.is_some());
            let rule = rule.with_context(|| format!("there is no alert {name} any more"))?;
            if let Seen::NotYet(state) = in_state(rule, ..=State::Inactive) {
                return Ok(Some((name, state)));
            }
        }
        Ok(None)
    }

    /// Sends traffic until an inactive alert fires. Returns the traffic, and its start.
    async fn drive(&mut self, alert: &Alert) -> Result<(Running, Instant)> {
        self.reach(alert, Stage::Inactive).await?;
        let running = self.send(self.scenario.traffic);
        self.fire(alert).await?;
        Ok(running)
    }

    /// Stops the traffic once it has lasted long enough.
    async fn drive_on(&mut self, (running, since): (Running, Instant)) -> Result<()> {
        sleep(self.scenario.least.saturating_sub(since.elapsed())).await;
        self.driven = (Timestamp::now(), lock(&self.sent).clone());
        self.stop(running).await
    }

    async fn fire(&mut self, alert: &Alert) -> Result<()> {
        if !self.scenario.fires_at_once() {
            self.reach(alert, Stage::Pending).await?;
        }
        self.reach(alert, Stage::Firing).await
    }

    fn send(&self, traffic: Traffic) -> (Running, Instant) {
        self.tell(&format!("sending {traffic}"));
        let running = Running::start(&self.system.service.api, traffic, &self.sent);
        (running, Instant::now())
    }

    async fn stop(&self, running: Running) -> Result<()> {
        running.stop().await?;
        let sent = lock(&self.sent).clone();
        self.tell(&format!("sending no more: {sent}"));
        match sent.problem {
            Some(problem) => Err(NotProven::Unanswered(sent.unanswered, problem).into()),
            None => Ok(()),
        }
    }

    /// Waits until the alert is in a stage, and notes when.
    async fn reach(&mut self, alert: &Alert, stage: Stage) -> Result<()> {
        let what = format!("{} {stage}", alert.name);
        let limit = self.scenario.limit(stage, self.variant);
        let reached = self.wait(&what, limit, async || match stage {
            Stage::Inactive | Stage::Resolved => self.state(alert, ..=State::Inactive).await,
            // An alert that fires by now was pending: Prometheus knows no other way.
            Stage::Pending => self.state(alert, State::Pending..).await,
            Stage::Firing => self.state(alert, State::Firing..).await,
            Stage::Notified => self.told(alert, News::Firing, self.told_before[0]).await,
            Stage::NotifiedOfEnd => self.told(alert, News::Resolved, self.told_before[1]).await,
        });
        reached.await?;
        self.note(stage);
        self.tell(&format!("{what}; {}", lock(&self.sent)));
        Ok(())
    }

    async fn state(&self, alert: &Alert, expected: impl RangeBounds<State>) -> Result<Seen<()>> {
        let rule = self.system.prometheus.alert_rule(alert).await?;
        Ok(in_state(&rule, expected))
    }

    /// Looks whether the service was notified of the alert: on its page by name, and in its counter.
    async fn told(&self, alert: &Alert, news: News, before: u64) -> Result<Seen<()>> {
        let service = &self.system.service;
        let told = service.told(alert.name).await?;
        let counted = news.counted(&service.metrics().await?.1);
        let held = self.system.alertmanager.alerts(Some(alert.name)).await?;
        let held = held.as_array().into_iter().flatten();
        let states: Vec<_> = held
            .map(|alert| alert["status"]["state"].to_string())
            .collect();
        let active = states.iter().any(|state| state == r#""active""#);
        let arrived = told == Some(news) && counted > before;
        Ok(Seen::when(
            arrived && (news == News::Resolved || active),
            format!(
                "status page says {}, {counted} {} in all, Alertmanager {states:?}",
                told.map_or("nothing", News::as_str),
                news.as_str()
            ),
        ))
    }

    /// Polls until it is so, and tells of it meanwhile.
    async fn wait(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl AsyncFnMut() -> Result<Seen<()>>,
    ) -> Result<(), NotProven> {
        self.tell(&format!("waiting up to {} s: {what}", limit.as_secs()));
        let start = Instant::now();
        let mut told = start;
        let seen = Wait::up_to(limit).every(PAUSE).until(what, async || {
            let seen = look().await;
            if let Ok(Seen::NotYet(last)) = &seen
                && told.elapsed() >= LINES
            {
                told = Instant::now();
                let left = limit.saturating_sub(start.elapsed()).as_secs();
                let sent = lock(&self.sent).to_string();
                self.tell(&format!(
                    "waiting up to {left} s more: {what}; now {last}; {sent}"
                ));
            }
            seen
        });
        Ok(seen.await?)
    }

    /// Compares the answers with the service's counters, once those have caught up.
    async fn compare(&mut self) -> Result<()> {
        let answered = lock(&self.sent).answered.clone();
        let (pages, counted) = (&mut self.pages, &mut self.record.counted);
        let equal = Wait::up_to(COUNTED).until("equal counts", async || {
            let (page, metrics) = self.system.service.metrics().await?;
            pages[1] = page;
            *counted = Counts::of(&metrics).since(&self.counted_before)?;
            let difference = answered.difference(counted);
            Ok(Seen::when(difference.is_empty(), difference))
        });
        let equal = equal.await;
        equal.map_err(|missed| NotProven::Miscounted(missed.last))?;
        self.tell(&format!(
            "all {} answers are counted, each once",
            answered.total()
        ));
        (self.quiet)();
        Ok(())
    }

    fn note(&mut self, stage: Stage) {
        let at = Timestamp::now();
        for alert in self.record.alert.iter_mut().chain(&mut self.record.watched) {
            alert.timeline.push(Step { stage, at });
        }
    }

    fn tell(&self, line: &str) {
        (self.progress)(line);
    }
}

/// Returns whether a rule was evaluated, and its alert is in an expected state.
fn in_state(rule: &Rule, expected: impl RangeBounds<State>) -> Seen<()> {
    let healthy = rule.health == "ok";
    let found = format!(
        "{:?}, evaluation {} {}",
        rule.state, rule.health, rule.last_error
    );
    Seen::when(
        healthy && rule.state.is_some_and(|state| expected.contains(&state)),
        found,
    )
}
