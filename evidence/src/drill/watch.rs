//! Watches one alert on its way, and sends what moves it.

use anyhow::Result;
use std::{
    ops::RangeBounds,
    time::{Duration, Instant, SystemTime},
};

use super::{Before, Drill, LOADED, NotProven, Outcome, in_state};
use crate::{
    prometheus::State,
    scenario::{Alert, Limits},
    service::{self, News},
    system::System,
    timeline::Stage,
    traffic::Running,
    wait::{Clock, Seen},
};

/// An alert that is watched.
pub(super) struct Watch<'a, C> {
    pub(super) drill: &'a Drill<'a, C>,
    pub(super) alert: Alert,
    pub(super) limits: Limits,
    pub(super) before: &'a Before,
}

impl<C: Clock> Watch<'_, C> {
    pub(super) async fn by_traffic(
        &self,
        outcome: &mut Outcome,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let drill = self.drill;
        let (running, since) = self.drive(outcome).await?;
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

    pub(super) async fn by_events(
        &self,
        outcome: &mut Outcome,
        witness: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let (running, since) = self.drive(outcome).await?;
        // Every further event would keep it firing for longer.
        self.drive_on(outcome, running, since).await?;
        self.drill.compare(outcome, self.before).await?;
        self.notified(outcome, None).await?;
        witness().await?;
        self.reach(outcome, Stage::Resolved, self.limits.resolved, None)
            .await?;
        self.notified_of_end(outcome, None).await
    }

    pub(super) async fn by_silence(
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

    /// Sends traffic to an alert at rest until it fires. Returns the traffic, and since when it is sent.
    async fn drive(&self, outcome: &mut Outcome) -> Result<(Running, Instant)> {
        let drill = self.drill;
        self.reach(outcome, Stage::Inactive, LOADED, None).await?;
        let running = drill.send(drill.scenario.traffic);
        let since = drill.clock.now();
        self.fire(outcome, Some(&running)).await?;
        Ok((running, since))
    }

    /// Lets the traffic go on for as long as it has to, and ends it.
    async fn drive_on(
        &self,
        outcome: &mut Outcome,
        running: Running,
        since: Instant,
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
        let reached = self
            .drill
            .wait(&what, limit, running, async || self.look(stage).await)
            .await;
        if let (Err(_), Some(running)) = (&reached, running) {
            // It ends here, and what was sent is part of what there is to tell.
            outcome.sent.merge(&running.so_far());
        }
        reached?;
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
