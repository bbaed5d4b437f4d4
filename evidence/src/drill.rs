//! Runs a scenario: sends its traffic, and watches its alert from the first stage to the last.

use alerts::Variant;
use anyhow::{Result, ensure};
use jiff::Timestamp;
use std::{
    cell::RefCell,
    time::{Duration, Instant},
};
use testkit::{
    counts::Counts,
    wait::{Seen, Wait},
};
use tokio::time::sleep;

use crate::{
    other::Tally,
    pictures::Browser,
    prometheus::State,
    record::{Record, Stage, Step, Watch},
    rules,
    scenario::{Alert, CATALOGUE, Cause, Scenario},
    system::{Monitor, News, Service, System},
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
    /// The other application before and after.
    pub other: Option<[Tally; 2]>,
    /// The end of the traffic that drives the alert (or whose end does), and the requests by then.
    pub driven: (Timestamp, Sent),
    /// The traffic, and its start.
    running: Option<(Running, Instant)>,
    sent: SharedSent,
    counted_before: Counts,
    told_before: [u64; 2],
    /// The first alert of another application that was seen.
    stray: RefCell<Option<String>>,
}

impl Place<'_> {
    /// Returns whether the system was started for the scenario.
    fn is_own(&self) -> bool {
        let mut monitors = self.system.monitors.iter();
        monitors.all(|monitor| monitor.forwarder.is_some())
    }

    /// Returns how long rules take to see new traffic: two scrapes, a record of their rate and an evaluation.
    fn settling(&self) -> Duration {
        Duration::from_secs(match self.variant {
            Variant::Production | Variant::Demo => 60,
            Variant::Test => 12,
        })
    }
}

impl<'a> Drill<'a> {
    /// Prepares a scenario.
    pub fn new(place: Place<'a>, scenario: Scenario) -> Self {
        let now = Timestamp::now();
        let variant = place.variant;
        let record = Record {
            scenario: scenario.name.clone(),
            variant: rules::name(variant).into(),
            system: if place.is_own() { "own" } else { "running" }.into(),
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
            other: None,
            driven: (now, Sent::default()),
            running: None,
            sent: SharedSent::default(),
            counted_before: Counts::default(),
            told_before: [0; 2],
            stray: RefCell::default(),
        }
    }

    /// Runs the scenario to its end. `witness` looks at the system while the alert fires and the service was notified, or
    /// when all alerts have been inactive for long enough.
    ///
    /// # Errors
    /// [`NotProven`] if a stage is not reached in time or a count differs; others if nothing can be said.
    pub async fn run(&mut self, witness: impl AsyncFn(&Record) -> Result<()>) -> Result<()> {
        self.before().await?;
        let done = self.stages(witness).await;
        self.running = None;
        let sent = lock(&self.sent).clone();
        let driven = &mut self.record.driven;
        driven.sent = sent.sent;
        driven.unanswered = sent.unanswered;
        driven.answered = sent.answered;
        let apart = self.after().await;
        self.record.ended = Timestamp::now();
        done.and(apart)
    }

    async fn stages(&mut self, witness: impl AsyncFn(&Record) -> Result<()>) -> Result<()> {
        let Scenario { cause, traffic, .. } = self.scenario;
        if matches!(cause, Cause::Silence | Cause::Nothing) {
            self.send(traffic);
            // A rule is inactive before its first evaluation, then pending for the silence of a new system.
            sleep(self.place.settling()).await;
        }
        self.reach(Stage::Inactive).await?;
        match cause {
            Cause::Traffic | Cause::Events => self.send(traffic),
            Cause::Silence => self.drive_on().await?,
            Cause::Nothing => {
                self.stay_inactive().await?;
                witness(&self.record).await?;
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
        witness(&self.record).await?;
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
        let (page, metrics) = system.service.metrics().await?;
        self.pages[0] = page;
        let application = Service::application(&metrics);
        for monitor in &system.monitors {
            let mut watch = Watch {
                prometheus: monitor.prometheus.version().await?,
                alertmanager: monitor.alertmanager.version().await?,
                ..Watch::default()
            };
            for rule in monitor.prometheus.alert_rules(self.alerts()).await? {
                ensure!(
                    may_fire || rule.state_for(&application) != State::Firing,
                    "{} fires already: wait until it is resolved, or let a system be started",
                    rule.alert.name
                );
                watch.watched.push(rule.alert);
            }
            if self.scenario.alert.is_some() {
                watch.alert = watch.watched.pop();
            }
            self.record.watches.push(watch);
        }
        self.record.driven.application = application;
        if let Some(other) = &system.other {
            self.other = Some([other.tally().await?, Tally::default()]);
        }
        self.counted_before = Counts::of(&metrics);
        self.told_before = [News::Firing, News::Resolved].map(|news| news.counted(&metrics));
        Ok(())
    }

    /// Sees that the other application was counted as it was answered, and that none of its alerts was active.
    async fn after(&mut self) -> Result<()> {
        if let (Some(other), Some([before, after])) = (&self.place.system.other, &mut self.other) {
            *after = other.tally().await?;
            let requests = after.since(before)?;
            let (name, unanswered) = (&requests.application, requests.unanswered);
            let differing = requests.answered.difference(&requests.counted);
            if unanswered > 0 || !differing.is_empty() {
                let text = format!("{name}: {unanswered} requests have no answer; {differing}");
                return Err(NotProven(text).into());
            }
            self.record.other = Some(requests);
        }
        match self.stray.take() {
            Some(stray) => Err(NotProven(stray).into()),
            None => Ok(()),
        }
    }

    /// Sees that every alert stays inactive for as long as the traffic is to last.
    async fn stay_inactive(&self) -> Result<()> {
        let (start, least) = (Instant::now(), self.least());
        self.tell(&format!("to stay so for {} s", least.as_secs()));
        while start.elapsed() < least {
            for monitor in &self.place.system.monitors {
                if let Seen::NotYet(state) = self.state(monitor, Stage::Inactive).await? {
                    return Err(NotProven(format!("not all stayed inactive: {state}")).into());
                }
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

    /// Waits until each Prometheus has its alerts in a stage, and notes when.
    async fn reach(&mut self, stage: Stage) -> Result<()> {
        let names: Vec<_> = self.alerts().iter().map(|alert| &*alert.name).collect();
        let what = format!("{} {stage}", names.join(", "));
        let limit = self.scenario.limit(stage, self.place.variant);
        self.tell(&format!("waiting up to {} s: {what}", limit.as_secs()));
        let start = Instant::now();
        let mut told = start;
        let seen = Wait::up_to(limit).every(PAUSE).until(&what, async || {
            let seen = self.look(stage).await;
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
        self.tell(&format!("{what}; {}", lock(&self.sent)));
        Ok(())
    }

    /// Looks whether each Prometheus has reached a stage. One that has goes on to its next, while another has not.
    async fn look(&mut self, stage: Stage) -> Result<Seen<()>> {
        let mut missing = Vec::new();
        for (index, monitor) in self.place.system.monitors.iter().enumerate() {
            let mut alerts = self.record.watches[index].alerts();
            let passed = alerts.next().map_or(0, |alert| alert.timeline.len());
            drop(alerts);
            let mut last = String::new();
            if let Some(next) = self.scenario.stages().nth(passed) {
                let [firing, resolved] = self.told_before;
                let seen = match next {
                    Stage::Notified => self.told(monitor, News::Firing, firing).await?,
                    Stage::NotifiedOfEnd => self.told(monitor, News::Resolved, resolved).await?,
                    _ => self.state(monitor, next).await?,
                };
                match seen {
                    Seen::NotYet(text) => last = text,
                    Seen::Yes(()) => {
                        let at = Timestamp::now();
                        for alert in self.record.watches[index].alerts_mut() {
                            alert.timeline.push(Step { stage: next, at });
                        }
                    }
                }
            }
            let watch = &self.record.watches[index];
            if watch.alerts().any(|alert| alert.at(stage).is_none()) {
                missing.push(format!("Prometheus {}: {last}", watch.prometheus));
            }
        }
        Ok(Seen::when(missing.is_empty(), missing.join("; ")))
    }

    /// Looks whether a Prometheus has evaluated every rule, and has its alert in the state of a stage.
    async fn state(&self, monitor: &Monitor, stage: Stage) -> Result<Seen<()>> {
        let application = &self.record.driven.application;
        for rule in monitor.prometheus.alert_rules(self.alerts()).await? {
            let name = &rule.alert.name;
            let state = match stage {
                // Of every application.
                Stage::Inactive => rule.state.unwrap_or(State::Inactive),
                _ => rule.state_for(application),
            };
            let expected = match stage {
                Stage::Firing => state == State::Firing,
                // An alert that fires by now was pending: Prometheus knows no other way.
                Stage::Pending => state != State::Inactive,
                _ => state == State::Inactive,
            };
            if stage != Stage::Inactive
                && self.place.system.other.is_some()
                && let [other, ..] = rule.others(application)[..]
            {
                let stray = format!("{name} is active for {other}, which is healthy");
                self.stray.replace(Some(stray));
            }
            if !expected || rule.health != "ok" {
                let found = format!("{name} {state:?}, {} {}", rule.health, rule.last_error);
                return Ok(Seen::NotYet(found));
            }
        }
        Ok(Seen::Yes(()))
    }

    /// Looks whether the service was notified of the alert: on its page by name, in its counter, and by this Alertmanager.
    async fn told(&self, monitor: &Monitor, news: News, before: u64) -> Result<Seen<()>> {
        let service = &self.place.system.service;
        let name = &self.alerts()[0].name;
        let told = service.told(name).await?;
        let counted = news.counted(&service.metrics().await?.1);
        let application = &self.record.driven.application;
        let arrived = monitor.forwarder.as_ref().is_none_or(|forwarder| {
            let deliveries = forwarder.since(self.record.started);
            let mut alerts = deliveries
                .iter()
                .flat_map(|one| one.alerts(name, application));
            alerts.any(|alert| alert["status"] == news.as_str())
        });
        let held = monitor.alertmanager.alerts(Some(name)).await?;
        let held = held.as_array().into_iter().flatten();
        let states = held.map(|alert| alert["status"]["state"].to_string());
        let states = states.collect::<Vec<_>>().join(", ");
        let active = news == News::Resolved || states.contains("active");
        Ok(Seen::when(
            told == Some(news) && counted > before && arrived && active,
            format!(
                "status page: {told:?}, counted: {counted}, Alertmanager: {states}, arrived: {arrived}"
            ),
        ))
    }

    /// Compares the answers with the service's counters, once those have caught up.
    async fn compare(&mut self) -> Result<()> {
        let answered = lock(&self.sent).answered.clone();
        let (pages, counted) = (&mut self.pages, &mut self.record.driven.counted);
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
