//! Runs a scenario: sends its traffic and watches its alert from the first stage to the last.

mod watch;

use alerts::Variant;
use anyhow::{Context, Result, ensure};
use std::{
    cell::Cell,
    ops::RangeBounds,
    time::{Duration, SystemTime},
};

use crate::{
    prometheus::{Rule, State},
    scenario::{APP_ALERTS, Alert, Cause, Scenario},
    service::{self, News},
    system::System,
    tally::Tally,
    timeline::{Stage, Timeline},
    traffic::{Running, Sent, Traffic},
    wait::{Clock, Missed, Seen, until},
};
use watch::Watch;

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
                outcome.sent.merge(&running.so_far());
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
