//! Runs a scenario: sends its traffic and watches its alert from the first stage to the last.

use alerts::Variant;
use anyhow::{Result, ensure};
use std::{
    ops::RangeBounds,
    time::{Duration, SystemTime},
};

use crate::{
    prometheus::{Rule, State},
    scenario::{Cause, Limits, Scenario},
    service::{self, News},
    system::System,
    tally::Tally,
    timeline::{Stage, Timeline},
    traffic::{Running, Sent},
    wait::{Clock, Missed, Seen, until},
};

/// How long counters may take to show the last answer.
const COUNTED: Duration = Duration::from_secs(10);
/// How long the rule may take to be loaded and evaluated once.
const LOADED: Duration = Duration::from_secs(60);

/// What a scenario came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When its alert was in which stage.
    pub timeline: Timeline,
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
}

/// How many alerts the service had been told of before.
struct Before {
    counted: Tally,
    told: [u64; 2],
}

impl<C: Clock> Drill<'_, C> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// [`NotProven`] if a stage is not reached in time or a count differs, others if nothing can be said.
    pub async fn run(self) -> Result<Outcome> {
        let Scenario { cause, least, .. } = self.scenario;
        let limits = self.scenario.limits(self.variant);
        let before = self.before().await?;
        let mut timeline = Timeline::begin(SystemTime::now());

        if cause == Cause::Traffic {
            self.reach(&mut timeline, Stage::Inactive, LOADED, None, &before)
                .await?;
        }
        let running = self.send();
        let since = self.clock.now();
        match cause {
            Cause::Traffic => {
                self.fire(&mut timeline, &limits, Some(&running), &before)
                    .await?
            }
            Cause::Silence => {
                let limit = LOADED + limits.resolved;
                self.reach(
                    &mut timeline,
                    Stage::Inactive,
                    limit,
                    Some(&running),
                    &before,
                )
                .await?;
            }
        }
        let left = least.saturating_sub(self.clock.now() - since);
        self.clock.sleep(left).await;
        let driven = (SystemTime::now(), running.so_far());
        let mut sent = self.stop(running).await?;

        let end = match cause {
            Cause::Traffic => None,
            Cause::Silence => {
                self.fire(&mut timeline, &limits, None, &before).await?;
                Some(self.send())
            }
        };
        for (stage, limit) in [
            (Stage::Resolved, limits.resolved),
            (Stage::NotifiedOfEnd, limits.notified),
        ] {
            self.reach(&mut timeline, stage, limit, end.as_ref(), &before)
                .await?;
        }
        if let Some(running) = end {
            sent.merge(&self.stop(running).await?);
        }
        let counted = self.compare(&sent, &before).await?;
        Ok(Outcome {
            timeline,
            driven,
            sent,
            counted,
            end: SystemTime::now(),
        })
    }

    async fn before(&self) -> Result<Before> {
        let metrics = self.system.service.metrics().await?;
        let rule = self.rule().await?;
        ensure!(
            rule.state != Some(State::Firing) || self.scenario.cause == Cause::Silence,
            "{} fires already",
            self.scenario.alert
        );
        Ok(Before {
            counted: service::requests(&metrics),
            told: [News::Firing, News::Resolved].map(|news| service::notifications(&metrics, news)),
        })
    }

    async fn rule(&self) -> Result<Rule> {
        self.system.prometheus.alert_rule(self.scenario.alert).await
    }

    fn send(&self) -> Running {
        let traffic = self.scenario.traffic;
        self.tell(&format!("sending {traffic}"));
        Running::start(&self.system.service.api, traffic)
    }

    async fn stop(&self, running: Running) -> Result<Sent> {
        let sent = running.stop().await?;
        self.tell(&format!("sending no more: {sent}"));
        if let Some(problem) = &sent.problem {
            return Err(NotProven::Unanswered(sent.unanswered, problem.clone()).into());
        }
        Ok(sent)
    }

    /// Watches the alert until the notification that it fires has arrived.
    async fn fire(
        &self,
        timeline: &mut Timeline,
        limits: &Limits,
        running: Option<&Running>,
        before: &Before,
    ) -> Result<()> {
        for (stage, limit) in [
            (Stage::Pending, limits.pending),
            (Stage::Firing, limits.firing),
            (Stage::Notified, limits.notified),
        ] {
            self.reach(timeline, stage, limit, running, before).await?;
        }
        Ok(())
    }

    /// Waits until the alert is in a stage, and notes when.
    async fn reach(
        &self,
        timeline: &mut Timeline,
        stage: Stage,
        limit: Duration,
        running: Option<&Running>,
        before: &Before,
    ) -> Result<(), NotProven> {
        let what = format!("{} {}", self.scenario.alert, stage.as_str());
        self.tell(&format!("waiting up to {} s: {what}", limit.as_secs()));
        until(self.clock, &what, limit, async || {
            self.look(stage, before).await
        })
        .await?;
        timeline.note(stage, SystemTime::now());
        let so_far = running.map(|running| format!("; {}", running.so_far()));
        self.tell(&format!("{what}{}", so_far.unwrap_or_default()));
        Ok(())
    }

    async fn look(&self, stage: Stage, before: &Before) -> Result<Seen<()>> {
        let seen = match stage {
            Stage::Inactive | Stage::Resolved => self.state(..=State::Inactive).await?,
            // An alert that fires by now was pending: Prometheus knows no other way.
            Stage::Pending => self.state(State::Pending..).await?,
            Stage::Firing => self.state(State::Firing..).await?,
            Stage::Notified => self.notified(News::Firing, before.told[0]).await?,
            Stage::NotifiedOfEnd => self.notified(News::Resolved, before.told[1]).await?,
        };
        Ok(seen)
    }

    async fn state(&self, expected: impl RangeBounds<State>) -> Result<Seen<()>> {
        let rule = self.rule().await?;
        let evaluated =
            rule.health == "ok" && rule.state.is_some_and(|state| expected.contains(&state));
        let state = rule.state.map_or("without a state", State::as_str);
        let otherwise = format!("{state}, evaluation {} {}", rule.health, rule.last_error);
        Ok(Seen::when(evaluated, otherwise))
    }

    /// Looks whether the service was told of the alert: on its page by name, and in its counter.
    async fn notified(&self, news: News, before: u64) -> Result<Seen<()>> {
        let alert = self.scenario.alert;
        let told = self.system.service.told(alert).await?;
        let counted = service::notifications(&self.system.service.metrics().await?, news);
        let held = self.system.alertmanager.alerts_named(alert).await?;
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

    /// Compares what was answered with what was counted, once as many are counted.
    async fn compare(&self, sent: &Sent, before: &Before) -> Result<Tally> {
        let mut counted = Tally::default();
        let equal = until(self.clock, "equal counts", COUNTED, async || {
            let metrics = self.system.service.metrics().await?;
            counted = service::requests(&metrics).since(&before.counted);
            let difference = sent.answered.difference(&counted);
            Ok(Seen::when(difference.is_empty(), difference))
        });
        equal
            .await
            .map_err(|missed| NotProven::Miscounted(missed.last))?;
        self.tell(&format!(
            "all {} answers are counted, each once",
            counted.total()
        ));
        Ok(counted)
    }

    fn tell(&self, line: &str) {
        (self.progress)(line);
    }
}
