//! Runs scenarios, those at the same time that do not disturb each other.

use alerts::Variant;
use anyhow::{Context, Error, anyhow};
use futures::future::join_all;
use std::{cell::Cell, fs, path::Path, time::Instant};
use tokio::sync::Semaphore;

use crate::{
    browser::Browser,
    conduct::Place,
    scenario::{ONE_BY_ONE, Scenario, TOGETHER},
    stack::Stack,
    system::System,
};

/// What is to be run.
pub struct Run {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Rules to load, or those that are loaded in a system that runs.
    pub variant: Variant,
    /// The system that runs already; without one, systems are started.
    pub system: Option<System>,
    /// Takes the pictures, if any are wanted.
    pub browser: Option<Browser>,
}

/// A scenario that was not proven, or could not be run.
#[derive(Debug)]
pub struct Failure {
    /// Its name.
    pub scenario: &'static str,
    /// Why.
    pub error: Error,
}

/// Tells what happens, as lines with the time since the beginning and the scenario.
struct Progress {
    start: Instant,
}

impl Progress {
    fn tell(&self, scenario: &str, line: &str) {
        let seconds = self.start.elapsed().as_secs();
        println!(
            "{:02}:{:02}  {scenario:<10}  {line}",
            seconds / 60,
            seconds % 60
        );
    }
}

impl Run {
    /// Runs all of it, writes a folder for each scenario into `folder`, and returns what failed.
    pub async fn run(&self, folder: &Path) -> Vec<Failure> {
        let progress = Progress {
            start: Instant::now(),
        };
        let orders: &[&[&str]] = match self.system {
            Some(_) => &[ONE_BY_ONE],
            None => &TOGETHER,
        };
        let groups = orders.iter().map(|order| self.ordered(order));
        let groups = groups.filter(|group| !group.is_empty());
        let failures = groups.map(|group| self.group(group, folder, &progress));
        join_all(failures).await.into_iter().flatten().collect()
    }

    fn ordered(&self, order: &[&str]) -> Vec<Scenario> {
        let named = |name| self.scenarios.iter().find(|wanted| wanted.name == name);
        order
            .iter()
            .filter_map(|name| named(*name).copied())
            .collect()
    }

    /// Runs scenarios on one system, each as soon as the one before sends nothing more.
    async fn group(
        &self,
        group: Vec<Scenario>,
        folder: &Path,
        progress: &Progress,
    ) -> Vec<Failure> {
        let started;
        let (system, own) = match &self.system {
            Some(system) => (system, None),
            None => {
                let names: Vec<_> = group.iter().map(|scenario| scenario.name).collect();
                let line = format!(
                    "starting metrics-host, Prometheus and Alertmanager for {}",
                    names.join(", ")
                );
                progress.tell(group[0].name, &line);
                match Stack::start(self.variant).await {
                    Ok(stack) => {
                        started = stack;
                        (&started.system, Some(&started))
                    }
                    Err(error) => return not_started(&group, &error),
                }
            }
        };
        let place = Place {
            system,
            forwarder: own.map(|stack| &stack.forwarder),
            variant: self.variant,
            browser: self.browser.as_ref(),
        };
        let turn = Semaphore::new(1);
        let conducted = group.iter().map(async |scenario| {
            // It is fair: they come in the order of the group.
            let turn = turn.acquire().await.context("nobody closes it")?;
            let turn = Cell::new(Some(turn));
            let tell = |line: &str| progress.tell(scenario.name, line);
            let quiet = || drop(turn.take());
            let folder = folder.join(scenario.name);
            match place.conduct(*scenario, &folder, &tell, &quiet).await {
                Ok(outcome) => tell(&format!("proven: {}", outcome.timeline)),
                Err(error) => {
                    tell(&format!("failed: {error:#}"));
                    if let Some(stack) = own {
                        let logs = folder.join("servers.txt");
                        fs::write(&logs, stack.logs())
                            .with_context(|| logs.display().to_string())?;
                    }
                    return Err(error);
                }
            }
            Ok(())
        });
        let conducted = join_all(conducted).await.into_iter().zip(&group);
        let failures = conducted.filter_map(|(done, scenario)| {
            let error = done.err()?;
            Some(Failure {
                scenario: scenario.name,
                error,
            })
        });
        failures.collect()
    }
}

fn not_started(group: &[Scenario], error: &Error) -> Vec<Failure> {
    let failures = group.iter().map(|scenario| Failure {
        scenario: scenario.name,
        error: anyhow!("{error:#}"),
    });
    failures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_comes_in_the_order_of_its_group() {
        let run = Run {
            scenarios: ["drop", "latency", "traps"]
                .map(|name| Scenario::named(name).unwrap())
                .into(),
            variant: Variant::Demo,
            system: None,
            browser: None,
        };
        let ordered = |order| {
            let ordered = run.ordered(order).into_iter();
            ordered.map(|scenario| scenario.name).collect::<Vec<_>>()
        };
        assert_eq!(ordered(TOGETHER[0]), ["traps", "drop"]);
        assert_eq!(ordered(TOGETHER[2]), [""; 0]);
        assert_eq!(ordered(ONE_BY_ONE), ["traps", "latency", "drop"]);
    }
}
