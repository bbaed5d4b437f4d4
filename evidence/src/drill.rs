//! Runs a scenario: sends its traffic, and watches its alert from the first stage to the last.

use alerts::Variant;
use anyhow::{Result, ensure};
use jiff::Timestamp;
use std::{
    ops::RangeBounds,
    time::{Duration, Instant},
};
use testkit::{
    counts::Counts,
    wait::{Seen, Wait},
};
use tokio::time::sleep;

use crate::{
    forwarder::Forwarder,
    pictures::Browser,
    prometheus::State,
    record::{Record, Stage, Step},
    rules,
    scenario::{Alert, CATALOGUE, Cause, Scenario},
    system::{News, System},
    traffic::{Running, Sent, SharedSent, Traffic, lock},
};

/// How long counters may take to show the last answer.
const COUNTED: Duration = Duration::from_secs(10);
/// Pause between two polls.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause between two lines about a wait.
const LINES: Duration = Duration::from_secs(15);

/// A claim that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotProven(String);

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
    /// Takes lines about the progress.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Called once nothing more is sent, and all of it is counted.
    pub quiet: &'a dyn Fn(),
}

/// A scenario, and what is known of it so far.
pub struct Drill<'a> {
    /// Where it runs.
    pub place: Place<'a>,
    /// The scenario.
    pub scenario: Scenario,
    /// The record, as far as the scenario came.
    pub record: Record,
    /// The service's metrics before the first request, and after the last answer.
    pub pages: [String; 2],
    /// The end of the traffic that drives the alert (or whose end does), and the requests by then.
    pub driven: (Timestamp, Sent),
    /// The traffic, and its start.
    running: Option<(Running, Instant)>,
    sent: SharedSent,
    counted_before: Counts,
    told_before: [u64; 2],
}

impl<'a> Drill<'a> {
    /// Prepares a scenario.
    pub fn new(place: Place<'a>, scenario: Scenario) -> Self {
        let now = Timestamp::now();
        let variant = place.variant;
        let record = Record {
            scenario: scenario.name.clone(),
            variant: rules::name(variant).into(),
            system: place.forwarder.map_or("running", |_| "own").into(),
            started: now,
            ended: now,
            traffic: scenario.traffic_in_words(variant),
            arguments: scenario.arguments(variant),
            ..Record::default()
        };
        Self {
            place,
            scenario,
            record,
            pages: Default::default(),
            driven: (now, Sent::default()),
            running: None,
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
        self.running = None;
        let sent = lock(&self.sent).clone();
        self.record.sent = sent.sent;
        self.record.unanswered = sent.unanswered;
        self.record.answered = sent.answered;
        self.record.ended = Timestamp::now();
        done
    }

    async fn stages(&mut self, witness: impl AsyncFn() -> Result<()>) -> Result<()> {
        let Scenario { cause, traffic, .. } = self.scenario;
        if matches!(cause, Cause::Silence | Cause::Nothing) {
            self.send(traffic);
        }
        self.reach(Stage::Inactive).await?;
        match cause {
            Cause::Traffic | Cause::Events => self.send(traffic),
            Cause::Silence => self.drive_on().await?,
            Cause::Nothing => {
                self.stay_inactive().await?;
                witness().await?;
                self.drive_on().await?;
                return self.compare().await;
            }
        }
        if !self.scenario.fires_at_once() {
            self.reach(Stage::Pending).await?;
        }
        self.reach(Stage::Firing).await?;
        if cause == Cause::Events {
            // Every further event would keep it firing for longer.
            self.drive_on().await?;
            self.compare().await?;
        }
        self.reach(Stage::Notified).await?;
        witness().await?;
        if cause == Cause::Traffic {
            self.drive_on().await?;
        }
        match (cause, self.scenario.recovery(self.place.variant)) {
            (Cause::Traffic, Some(recovery)) => self.send(recovery),
            (Cause::Traffic, None) => self.compare().await?,
            (Cause::Silence, _) => self.send(traffic),
            (Cause::Events | Cause::Nothing, _) => {}
        }
        self.reach(Stage::Resolved).await?;
        // After silence the alert would soon fire again without the traffic.
        if cause == Cause::Silence {
            self.reach(Stage::NotifiedOfEnd).await?;
        }
        if self.running.is_some() {
            self.stop().await?;
            self.compare().await?;
        }
        if cause != Cause::Silence {
            self.reach(Stage::NotifiedOfEnd).await?;
        }
        Ok(())
    }

    fn least(&self) -> Duration {
        Duration::from_secs(self.scenario.least)
    }

    /// Returns the alert that is driven, or those that are to stay inactive.
    fn alerts(&self) -> &[Alert] {
        match &self.scenario.alert {
            Some(alert) => std::slice::from_ref(alert),
            None => &CATALOGUE.application,
        }
    }

    /// Reads the rules and the counters.
    async fn before(&mut self) -> Result<()> {
        let system = self.place.system;
        let may_fire = matches!(self.scenario.cause, Cause::Silence | Cause::Nothing);
        for rule in system.prometheus.alert_rules(self.alerts()).await? {
            ensure!(
                may_fire || rule.state != Some(State::Firing),
                "{} fires already: wait until it is resolved, or let a system be started",
                rule.alert.name
            );
            self.record.watched.push(rule.alert);
        }
        if self.scenario.alert.is_some() {
            self.record.alert = self.record.watched.pop();
        }
        let (page, metrics) = system.service.metrics().await?;
        self.pages[0] = page;
        self.counted_before = Counts::of(&metrics);
        self.told_before = [News::Firing, News::Resolved].map(|news| news.counted(&metrics));
        Ok(())
    }

    /// Sees that every alert stays inactive for as long as the traffic is to last.
    async fn stay_inactive(&self) -> Result<()> {
        let (start, least) = (Instant::now(), self.least());
        self.tell(&format!("to stay so for {} s", least.as_secs()));
        while start.elapsed() < least {
            if let Seen::NotYet(state) = self.state(..=State::Inactive).await? {
                return Err(NotProven(format!("not all stayed inactive: {state}")).into());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn send(&mut self, traffic: Traffic) {
        self.tell(&format!("sending {traffic}"));
        let running = Running::start(&self.place.system.service.api, traffic, &self.sent);
        self.running = Some((running, Instant::now()));
    }

    /// Stops the traffic once it has lasted long enough.
    async fn drive_on(&mut self) -> Result<()> {
        let since = self.running.as_ref().map(|(_, since)| since.elapsed());
        sleep(self.least().saturating_sub(since.unwrap_or_default())).await;
        self.driven = (Timestamp::now(), lock(&self.sent).clone());
        self.stop().await
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some((running, _)) = self.running.take() {
            running.stop().await?;
        }
        let sent = lock(&self.sent).clone();
        self.tell(&format!("sending no more: {sent}"));
        // They may be counted or not.
        match sent.problem {
            Some(problem) => Err(NotProven(format!("a request has no answer: {problem}")).into()),
            None => Ok(()),
        }
    }

    /// Waits until the alerts are in a stage, and notes when.
    async fn reach(&mut self, stage: Stage) -> Result<()> {
        let names: Vec<_> = self.alerts().iter().map(|alert| &*alert.name).collect();
        let what = format!("{} {stage}", names.join(", "));
        let limit = self.scenario.limit(stage, self.place.variant);
        self.tell(&format!("waiting up to {} s: {what}", limit.as_secs()));
        let start = Instant::now();
        let mut told = start;
        let seen = Wait::up_to(limit).every(PAUSE).until(&what, async || {
            let seen = match stage {
                Stage::Inactive | Stage::Resolved => self.state(..=State::Inactive).await,
                // An alert that fires by now was pending: Prometheus knows no other way.
                Stage::Pending => self.state(State::Pending..).await,
                Stage::Firing => self.state(State::Firing..).await,
                Stage::Notified => self.told(News::Firing, self.told_before[0]).await,
                Stage::NotifiedOfEnd => self.told(News::Resolved, self.told_before[1]).await,
            };
            if let Ok(Seen::NotYet(last)) = &seen
                && told.elapsed() >= LINES
            {
                told = Instant::now();
                let left = limit.saturating_sub(start.elapsed()).as_secs();
                let sent = lock(&self.sent).to_string();
                self.tell(&format!("up to {left} s more: {what}; now {last}; {sent}"));
            }
            seen
        });
        seen.await.map_err(|missed| NotProven(missed.to_string()))?;
        let at = Timestamp::now();
        for alert in self.record.alert.iter_mut().chain(&mut self.record.watched) {
            alert.timeline.push(Step { stage, at });
        }
        self.tell(&format!("{what}; {}", lock(&self.sent)));
        Ok(())
    }

    /// Looks whether every rule was evaluated, and its alert is in an expected state.
    async fn state(&self, expected: impl RangeBounds<State>) -> Result<Seen<()>> {
        let rules = self.place.system.prometheus.alert_rules(self.alerts());
        for rule in rules.await? {
            let state = rule.state.filter(|state| expected.contains(state));
            if state.is_none() || rule.health != "ok" {
                let (name, state) = (&rule.alert.name, rule.state.unwrap_or(State::Inactive));
                let found = format!("{name} {state:?}, {} {}", rule.health, rule.last_error);
                return Ok(Seen::NotYet(found));
            }
        }
        Ok(Seen::Yes(()))
    }

    /// Looks whether the service was notified of the alert: on its page by name, and in its counter.
    async fn told(&self, news: News, before: u64) -> Result<Seen<()>> {
        let system = self.place.system;
        let name = &self.alerts()[0].name;
        let told = system.service.told(name).await?;
        let counted = news.counted(&system.service.metrics().await?.1);
        let held = system.alertmanager.alerts(Some(name)).await?;
        let held = held.as_array().into_iter().flatten();
        let states = held.map(|alert| alert["status"]["state"].to_string());
        let states = states.collect::<Vec<_>>().join(", ");
        let active = news == News::Resolved || states.contains("active");
        Ok(Seen::when(
            told == Some(news) && counted > before && active,
            format!("status page: {told:?}, counted: {counted}, Alertmanager: {states}"),
        ))
    }

    /// Compares the answers with the service's counters, once those have caught up.
    async fn compare(&mut self) -> Result<()> {
        let answered = lock(&self.sent).answered.clone();
        let (pages, counted) = (&mut self.pages, &mut self.record.counted);
        let equal = Wait::up_to(COUNTED).until("equal counts", async || {
            let (page, metrics) = self.place.system.service.metrics().await?;
            pages[1] = page;
            *counted = Counts::of(&metrics).since(&self.counted_before)?;
            let difference = answered.difference(counted);
            Ok(Seen::when(difference.is_empty(), difference))
        });
        let equal = equal.await.map_err(|missed| missed.last);
        equal.map_err(|last| NotProven(format!("client and counters differ: {last}")))?;
        self.tell(&format!(
            "all {} answers are counted, each once",
            answered.total()
        ));
        (self.place.quiet)();
        Ok(())
    }

    fn tell(&self, line: &str) {
        (self.place.progress)(line);
    }
}
