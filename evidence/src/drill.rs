//! Runs a scenario: sends its traffic and watches its alert from the first stage to the last.

use alerts::Variant;
use anyhow::{Context, Result, ensure};
use std::{
    cell::Cell,
    ops::RangeBounds,
    time::{Duration, SystemTime},
};

use crate::{
    prometheus::{Rule, State},
    scenario::{APP_ALERTS, Alert, Cause, Limits, Scenario},
    service::{self, News},
    system::System,
    tally::Tally,
    timeline::{Stage, Timeline},
    traffic::{Running, Sent, Traffic},
    wait::{Clock, Missed, Seen, until},
};

/// How long counters may take to show the last answer.
const COUNTED: Duration = Duration::from_secs(10);
/// How long the rule may take to be loaded and evaluated once.
const LOADED: Duration = Duration::from_secs(60);
/// Between two lines about a wait.
const LINES: Duration = Duration::from_secs(15);
/// Between two looks at alerts that are not to move.
const LOOK: Duration = Duration::from_secs(1);

/// What a scenario came to, as far as it came.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When its alert was in which stage.
    pub timeline: Timeline,
    /// The rule of the alert, or those that had to stay inactive.
    pub rules: Vec<Rule>,
    /// The service's metrics before the first request, and after the last answer.
    pub pages: [String; 2],
    /// The last moment of the traffic that drives the alert (or whose end does), and what was sent by then.
    pub driven: (SystemTime, Sent),
    /// All that was sent.
    pub sent: Sent,
    /// What the service counted meanwhile.
    pub counted: Tally,
    /// When it was over.
    pub end: SystemTime,
}

/// What is claimed and does not hold.
#[derive(Debug, thiserror::Error)]
pub enum NotProven {
    /// A stage was not reached in time.
    #[error(transparent)]
    Missed(#[from] Missed),
    /// An alert did not stay inactive.
    #[error("{0} did not stay inactive: {1}")]
    Moved(&'static str, String),
    /// The service counted otherwise than its client.
    #[error("client and counters differ: {0}")]
    Miscounted(String),
    /// Requests without an answer can be counted or not: nothing can be said.
    #[error("{0} requests were not answered: {1}")]
    Unanswered(u64, String),
}

/// A scenario on its way.
pub struct Drill<'a, C> {
    /// What it runs against.
    pub system: &'a System,
    /// What is run.
    pub scenario: Scenario,
    /// The rules that are loaded there.
    pub variant: Variant,
    /// What time is taken from.
    pub clock: &'a C,
    /// Told of what happens, a line at a time.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Told once nothing more is sent, and all of it is counted.
    pub quiet: &'a dyn Fn(),
}

/// What was so before.
struct Before {
    counted: Tally,
    /// How many alerts the service had been told of.
    told: [u64; 2],
}

impl Outcome {
    /// One of a scenario that begins now.
    pub fn begin(now: SystemTime) -> Self {
        Self {
            timeline: Timeline::begin(now),
            rules: Vec::new(),
            pages: Default::default(),
            driven: (now, Sent::default()),
            sent: Sent::default(),
            counted: Tally::default(),
            end: now,
        }
    }
}

impl<C: Clock> Drill<'_, C> {
    /// Runs it to its end, and lets `witness` look when the alert fires and somebody was told, or when all has been
    /// quiet for long enough.
    ///
    /// # Errors
    /// [`NotProven`] if a stage is not reached in time or a count differs, others if nothing can be said. What there was
    /// until then is in `outcome`.
    pub async fn run(
        &self,
        outcome: &mut Outcome,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let before = self.before(outcome).await?;
        let done = match self.scenario.alert {
            None => self.stay(outcome, &before, witness).await,
            Some(alert) => {
                let watch = Watch {
                    drill: self,
                    alert,
                    limits: self.scenario.limits(self.variant),
                    before: &before,
                };
                match self.scenario.cause {
                    Cause::Silence => watch.by_silence(outcome, witness).await,
                    Cause::Events => watch.by_events(outcome, witness).await,
                    Cause::Traffic | Cause::Nothing => watch.by_traffic(outcome, witness).await,
                }
            }
        };
        outcome.end = SystemTime::now();
        done
    }

    async fn before(&self, outcome: &mut Outcome) -> Result<Before> {
        let watched = match &self.scenario.alert {
            Some(alert) => std::slice::from_ref(alert),
            None => &APP_ALERTS,
        };
        for alert in watched {
            let rule = self.system.prometheus.alert_rule(alert).await?;
            let may_fire = self.scenario.cause == Cause::Silence || self.scenario.alert.is_none();
            ensure!(
                rule.state != Some(State::Firing) || may_fire,
                "{} fires already: wait until it is over, or let a system be started",
                alert.name
            );
            outcome.rules.push(rule);
        }
        let (page, metrics) = self.system.service.metrics_page().await?;
        outcome.pages[0] = page;
        Ok(Before {
            counted: service::requests(&metrics),
            told: [News::Firing, News::Resolved].map(|news| service::notifications(&metrics, news)),
        })
    }

    /// Sends healthy traffic, and sees that no alert of the application leaves its rest.
    async fn stay(
        &self,
        outcome: &mut Outcome,
        before: &Before,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let running = self.send(self.scenario.traffic);
        let limit = LOADED + self.scenario.limits(self.variant).resolved;
        self.wait("all inactive", limit, Some(&running), async || {
            Ok(match self.moved().await? {
                None => Seen::Yes(()),
                Some((name, state)) => Seen::NotYet(format!("{name} {state}")),
            })
        })
        .await?;
        outcome.timeline.note(Stage::Inactive, SystemTime::now());
        let seconds = self.scenario.least.as_secs();
        self.tell(&format!("all inactive; for {seconds} s that has to stay"));
        let start = self.clock.now();
        while self.clock.now() - start < self.scenario.least {
            if let Some((name, state)) = self.moved().await? {
                return Err(NotProven::Moved(name, state).into());
            }
            self.clock.sleep(LOOK).await;
        }
        witness().await?;
        outcome.driven = (SystemTime::now(), running.so_far());
        self.stop(outcome, running).await?;
        self.compare(outcome, before).await
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

    fn send(&self, traffic: Traffic) -> Running {
        self.tell(&format!("sending {traffic}"));
        Running::start(&self.system.service.api, traffic)
    }

    async fn stop(&self, outcome: &mut Outcome, running: Running) -> Result<()> {
        let sent = running.stop().await?;
        self.tell(&format!("sending no more: {sent}"));
        outcome.sent.merge(&sent);
        if let Some(problem) = sent.problem {
            return Err(NotProven::Unanswered(sent.unanswered, problem).into());
        }
        Ok(())
    }

    /// Looks until it is so, and tells of it meanwhile.
    async fn wait(
        &self,
        what: &str,
        limit: Duration,
        running: Option<&Running>,
        mut look: impl AsyncFnMut() -> Result<Seen<()>>,
    ) -> Result<(), Missed> {
        self.tell(&format!("waiting up to {} s: {what}", limit.as_secs()));
        let start = self.clock.now();
        let told = Cell::new(start);
        until(self.clock, what, limit, async || {
            let seen = look().await;
            let now = self.clock.now();
            if let Ok(Seen::NotYet(last)) = &seen
                && now - told.get() >= LINES
            {
                told.set(now);
                let left = limit.saturating_sub(now - start).as_secs();
                let sent = running.map(|running| format!("; {}", running.so_far()));
                let sent = sent.unwrap_or_default();
                self.tell(&format!(
                    "waiting up to {left} s more: {what}; now {last}{sent}"
                ));
            }
            seen
        })
        .await
    }

    /// Compares what was answered with what was counted, once as many are counted.
    async fn compare(&self, outcome: &mut Outcome, before: &Before) -> Result<()> {
        let equal = until(self.clock, "equal counts", COUNTED, async || {
            let (page, metrics) = self.system.service.metrics_page().await?;
            outcome.pages[1] = page;
            outcome.counted = service::requests(&metrics).since(&before.counted);
            let difference = outcome.sent.answered.difference(&outcome.counted);
            Ok(Seen::when(difference.is_empty(), difference))
        });
        equal
            .await
            .map_err(|missed| NotProven::Miscounted(missed.last))?;
        self.tell(&format!(
            "all {} answers are counted, each once",
            outcome.counted.total()
        ));
        (self.quiet)();
        Ok(())
    }

    fn tell(&self, line: &str) {
        (self.progress)(line);
    }
}

/// An alert that is watched.
struct Watch<'a, C> {
    drill: &'a Drill<'a, C>,
    alert: Alert,
    limits: Limits,
    before: &'a Before,
}

impl<C: Clock> Watch<'_, C> {
    async fn by_traffic(
        &self,
        outcome: &mut Outcome,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let drill = self.drill;
        self.reach(outcome, Stage::Inactive, LOADED, None).await?;
        let running = drill.send(drill.scenario.traffic);
        let since = drill.clock.now();
        self.fire(outcome, Some(&running)).await?;
        self.notified(outcome, Some(&running)).await?;
        witness().await?;
        self.drive_on(outcome, running, since).await?;
        let resolved = self.limits.resolved;
        match drill.scenario.recovery(drill.variant) {
            Some(recovery) => {
                let running = drill.send(recovery);
                self.reach(outcome, Stage::Resolved, resolved, Some(&running))
                    .await?;
                drill.stop(outcome, running).await?;
                drill.compare(outcome, self.before).await?;
            }
            None => {
                drill.compare(outcome, self.before).await?;
                self.reach(outcome, Stage::Resolved, resolved, None).await?;
            }
        }
        self.notified_of_end(outcome, None).await
    }

    async fn by_events(
        &self,
        outcome: &mut Outcome,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let drill = self.drill;
        self.reach(outcome, Stage::Inactive, LOADED, None).await?;
        let running = drill.send(drill.scenario.traffic);
        let since = drill.clock.now();
        self.fire(outcome, Some(&running)).await?;
        // Every further event would keep it firing for longer.
        self.drive_on(outcome, running, since).await?;
        drill.compare(outcome, self.before).await?;
        self.notified(outcome, None).await?;
        witness().await?;
        self.reach(outcome, Stage::Resolved, self.limits.resolved, None)
            .await?;
        self.notified_of_end(outcome, None).await
    }

    async fn by_silence(
        &self,
        outcome: &mut Outcome,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let drill = self.drill;
        let running = drill.send(drill.scenario.traffic);
        let since = drill.clock.now();
        let limit = LOADED + self.limits.resolved;
        self.reach(outcome, Stage::Inactive, limit, Some(&running))
            .await?;
        self.drive_on(outcome, running, since).await?;
        self.fire(outcome, None).await?;
        self.notified(outcome, None).await?;
        witness().await?;
        let running = drill.send(drill.scenario.traffic);
        self.reach(
            outcome,
            Stage::Resolved,
            self.limits.resolved,
            Some(&running),
        )
        .await?;
        // Silence again would soon be noticed again.
        self.notified_of_end(outcome, Some(&running)).await?;
        drill.stop(outcome, running).await?;
        drill.compare(outcome, self.before).await
    }

    /// Lets the traffic go on for as long as it has to, and ends it.
    async fn drive_on(
        &self,
        outcome: &mut Outcome,
        running: Running,
        since: std::time::Instant,
    ) -> Result<()> {
        let clock = self.drill.clock;
        let left = self.drill.scenario.least;
        clock.sleep(left.saturating_sub(clock.now() - since)).await;
        outcome.driven = (SystemTime::now(), running.so_far());
        self.drill.stop(outcome, running).await
    }

    /// Watches the alert until it fires. One that has not to hold for a time is never pending.
    async fn fire(
        &self,
        outcome: &mut Outcome,
        running: Option<&Running>,
    ) -> Result<(), NotProven> {
        let Limits {
            pending, firing, ..
        } = self.limits;
        if self.drill.scenario.fires_at_once() {
            return self
                .reach(outcome, Stage::Firing, pending + firing, running)
                .await;
        }
        self.reach(outcome, Stage::Pending, pending, running)
            .await?;
        self.reach(outcome, Stage::Firing, firing, running).await
    }

    async fn notified(
        &self,
        outcome: &mut Outcome,
        running: Option<&Running>,
    ) -> Result<(), NotProven> {
        self.reach(outcome, Stage::Notified, self.limits.notified, running)
            .await
    }

    async fn notified_of_end(
        &self,
        outcome: &mut Outcome,
        running: Option<&Running>,
    ) -> Result<()> {
        let limit = self.limits.notified;
        self.reach(outcome, Stage::NotifiedOfEnd, limit, running)
            .await?;
        Ok(())
    }

    /// Waits until the alert is in a stage, and notes when.
    async fn reach(
        &self,
        outcome: &mut Outcome,
        stage: Stage,
        limit: Duration,
        running: Option<&Running>,
    ) -> Result<(), NotProven> {
        let what = format!("{} {}", self.alert.name, stage.as_str());
        self.drill
            .wait(&what, limit, running, async || self.look(stage).await)
            .await?;
        outcome.timeline.note(stage, SystemTime::now());
        let so_far = running.map(|running| format!("; {}", running.so_far()));
        self.drill
            .tell(&format!("{what}{}", so_far.unwrap_or_default()));
        Ok(())
    }

    async fn look(&self, stage: Stage) -> Result<Seen<()>> {
        let told = self.before.told;
        let seen = match stage {
            Stage::Inactive | Stage::Resolved => self.state(..=State::Inactive).await?,
            // An alert that fires by now was pending: Prometheus knows no other way.
            Stage::Pending => self.state(State::Pending..).await?,
            Stage::Firing => self.state(State::Firing..).await?,
            Stage::Notified => self.told(News::Firing, told[0]).await?,
            Stage::NotifiedOfEnd => self.told(News::Resolved, told[1]).await?,
        };
        Ok(seen)
    }

    async fn state(&self, expected: impl RangeBounds<State>) -> Result<Seen<()>> {
        let rule = self.drill.system.prometheus.alert_rule(&self.alert).await?;
        Ok(in_state(&rule, expected))
    }

    /// Looks whether the service was told of the alert: on its page by name, and in its counter.
    async fn told(&self, news: News, before: u64) -> Result<Seen<()>> {
        let System {
            service,
            alertmanager,
            ..
        } = self.drill.system;
        let told = service.told(self.alert.name).await?;
        let counted = service::notifications(&service.metrics().await?, news);
        let held = alertmanager.alerts_named(self.alert.name).await?;
        let states: Vec<_> = held.iter().map(|alert| &*alert.status.state).collect();
        let arrived = told == Some(news) && counted > before;
        Ok(Seen::when(
            arrived && (news == News::Resolved || states.contains(&"active")),
            format!(
                "status page says {}, {counted} {} in all, Alertmanager {states:?}",
                told.map_or("nothing", News::as_str),
                news.as_str()
            ),
        ))
    }
}

/// Returns whether a rule was evaluated, and its alert is as expected.
fn in_state(rule: &Rule, expected: impl RangeBounds<State>) -> Seen<()> {
    let evaluated =
        rule.health == "ok" && rule.state.is_some_and(|state| expected.contains(&state));
    let state = rule.state.map_or("without a state", State::as_str);
    let otherwise = match rule.health.as_str() {
        "ok" => state.to_owned(),
        health => format!("{state}, evaluation {health} {}", rule.last_error),
    };
    Seen::when(evaluated, otherwise)
}
