//! Runs scenarios: side by side where they do not disturb each other, otherwise in turn.

use alerts::Variant;
use anyhow::{Context, Error, Result, anyhow};
use futures::future::join_all;
use std::{cell::Cell, fs, path::Path, time::Instant};
use tokio::sync::Semaphore;

use crate::{
    conduct::Place,
    pictures::Browser,
    scenario::{ONE_BY_ONE, Scenario, TOGETHER},
    stack::Stack,
    system::System,
};

/// Scenarios to run.
pub struct Schedule {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Variant of the rules.
    pub variant: Variant,
    /// A system that runs already; without one, systems are started.
    pub system: Option<System>,
    /// Takes the screenshots, if any are wanted.
    pub browser: Option<Browser>,
}

/// A scenario that failed, and why.
pub type Failure = (&'static str, Error);

/// Prints lines with the time since the start.
struct Progress(Instant);

impl Progress {
    fn tell(&self, scenario: &str, line: &str) {
        let seconds = self.0.elapsed().as_secs();
        println!(
            "{:02}:{:02}  {scenario:<10}  {line}",
            seconds / 60,
            seconds % 60
        );
    }
}

impl Schedule {
    /// Runs all of it, writes a folder for each scenario into `folder`, and returns the failures.
    pub async fn run(&self, folder: &Path) -> Vec<Failure> {
        let progress = Progress(Instant::now());
        let orders = match self.system {
            Some(_) => &[ONE_BY_ONE][..],
            None => &TOGETHER,
        };
        let groups = orders.iter().map(|order| self.ordered(order));
        let groups = groups.filter(|group| !group.is_empty());
        let failures = groups.map(|group| self.group(group, folder, &progress));
        join_all(failures).await.into_iter().flatten().collect()
    }

    fn ordered(&self, order: &[&str]) -> Vec<Scenario> {
        let named = |name: &&str| self.scenarios.iter().find(|wanted| wanted.name == *name);
        order.iter().filter_map(named).copied().collect()
    }

    /// Runs scenarios on one system, each as soon as the one before sends nothing more.
    async fn group(
        &self,
        group: Vec<Scenario>,
        folder: &Path,
        progress: &Progress,
    ) -> Vec<Failure> {
        let mut started = None;
        if self.system.is_none() {
            let names: Vec<_> = group.iter().map(|scenario| scenario.name).collect();
            let servers = "starting metrics-host, Prometheus and Alertmanager for";
            progress.tell(names[0], &format!("{servers} {}", names.join(", ")));
            match Stack::start(self.variant).await {
                Ok(stack) => started = Some(stack),
                Err(error) => {
                    let failure = |name| (name, anyhow!("{error:#}"));
                    return names.into_iter().map(failure).collect();
                }
            }
        }
        let own = started.as_ref();
        let Some(system) = own.map(|stack| &stack.system).or(self.system.as_ref()) else {
            return Vec::new();
        };
        let place = Place {
            system,
            forwarder: own.map(|stack| &stack.forwarder),
            variant: self.variant,
            browser: self.browser,
        };
        let turn = Semaphore::new(1);
        let conducted = group.iter().map(async |scenario| {
            let folder = folder.join(scenario.name);
            let tell = |line: &str| progress.tell(scenario.name, line);
            let conducted = in_turn(&turn, place, *scenario, &folder, &tell).await;
            if let Err(error) = &conducted {
                tell(&format!("failed: {error:#}"));
                if let Some(stack) = own {
                    _ = fs::write(folder.join("servers.txt"), stack.logs());
                }
            }
            conducted.err().map(|error| (scenario.name, error))
        });
        join_all(conducted).await.into_iter().flatten().collect()
    }
}

/// Conducts a scenario once it is its turn, which ends when it sends nothing more.
async fn in_turn(
    turn: &Semaphore,
    place: Place<'_>,
    scenario: Scenario,
    folder: &Path,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    // The semaphore is fair: scenarios come in the order of the group.
    let turn = Cell::new(Some(turn.acquire().await.context("nobody closes it")?));
    let quiet = || drop(turn.take());
    let drill = place.conduct(scenario, folder, tell, &quiet).await?;
    let record = &drill.record;
    let steps = record.alerts().take(1).flat_map(|alert| &alert.timeline);
    let steps = steps.map(|step| format!("{} {:.1} s", step.stage, record.since_start(step.at)));
    tell(&format!(
        "proven: {}",
        steps.collect::<Vec<_>>().join(" → ")
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_run_in_the_order_of_their_group() {
        let named = |name| Scenario::named(name).unwrap();
        let schedule = Schedule {
            scenarios: ["drop", "latency", "traps"].map(named).into(),
            variant: Variant::Demo,
            system: None,
            browser: None,
        };
        let ordered = |order| {
            let ordered = schedule.ordered(order).into_iter();
            ordered.map(|scenario| scenario.name).collect::<Vec<_>>()
        };
        assert_eq!(ordered(TOGETHER[0]), ["traps", "drop"]);
        assert_eq!(ordered(TOGETHER[2]), [""; 0]);
        assert_eq!(ordered(ONE_BY_ONE), ["traps", "latency", "drop"]);
    }
}
