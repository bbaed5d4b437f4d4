//! Runs scenarios: side by side where they do not disturb each other, otherwise in turn.

use alerts::Variant;
use anyhow::{Error, anyhow};
use futures::future::join_all;
use std::{cell::Cell, fs, path::Path, slice::from_ref, time::Instant};
use testkit::progress::{self, Progress};
use tokio::sync::Semaphore;

use crate::{
    drill::{Drill, Place},
    pictures::Browser,
    record::Record,
    scenario::{CATALOGUE, Scenario},
    stack::{Beside, Stack},
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
    /// Further servers of a system that is started.
    pub beside: Beside,
    /// Takes the screenshots, if any are wanted.
    pub browser: Option<Browser>,
}

/// A scenario that failed, and why.
pub type Failure = (String, Error);

/// Prints lines with the time since the start.
fn tell(start: Instant, scenario: &str, line: &str) {
    let (minutes, seconds) = (
        start.elapsed().as_secs() / 60,
        start.elapsed().as_secs() % 60,
    );
    progress::aside(|| println!("{minutes:02}:{seconds:02}  {scenario:<10}  {line}"));
}

impl Schedule {
    /// Runs all of it, writes a folder for each scenario into `folder`, and returns the failures.
    pub async fn run(&self, folder: &Path) -> Vec<Failure> {
        let start = Instant::now();
        let orders = match self.system {
            Some(_) => from_ref(&CATALOGUE.one_by_one),
            None => &CATALOGUE.together,
        };
        let groups = orders.iter().map(|order| self.ordered(order));
        let groups = groups.filter(|group| !group.is_empty());
        let progress = Progress::of("scenarios", self.scenarios.len());
        let failures = groups.map(|group| self.group(group, folder, start, &progress));
        join_all(failures).await.into_iter().flatten().collect()
    }

    fn ordered(&self, order: &[String]) -> Vec<&Scenario> {
        let named = |name: &String| self.scenarios.iter().find(|wanted| wanted.name == *name);
        order.iter().filter_map(named).collect()
    }

    /// Runs scenarios on one system, each as soon as the one before sends nothing more.
    async fn group(
        &self,
        group: Vec<&Scenario>,
        folder: &Path,
        start: Instant,
        progress: &Progress,
    ) -> Vec<Failure> {
        let mut own = None;
        if self.system.is_none() {
            tell(start, &group[0].name, "starting the servers");
            match Stack::start(self.variant, &self.beside).await {
                Ok(stack) => own = Some(stack),
                Err(error) => {
                    let failures = group.iter();
                    let failures = failures.map(|one| (one.name.clone(), anyhow!("{error:#}")));
                    return failures.collect();
                }
            }
        }
        let own = own.as_ref();
        let system = own.map(|stack| &stack.system).or(self.system.as_ref());
        let turn = Semaphore::new(1);
        let conducted = group.into_iter().zip(system.into_iter().cycle());
        let conducted = conducted.map(async |(scenario, system)| {
            let (name, folder) = (&scenario.name, folder.join(&scenario.name));
            let tell = |line: &str| tell(start, name, line);
            // The semaphore is fair: scenarios come in the order of the group, each when the one before is quiet.
            let permit = Cell::new(turn.acquire().await.ok());
            let place = Place {
                system,
                variant: self.variant,
                browser: self.browser,
                progress: &tell,
                quiet: &|| drop(permit.take()),
            };
            let conducted = Drill::conduct(place, scenario.clone(), &folder).await;
            progress.step();
            match conducted {
                Ok(drill) => {
                    tell(&format!("proven: {}", stages(&drill.record)));
                    None
                }
                Err(error) => {
                    tell(&format!("failed: {error:#}"));
                    if let Some(stack) = own {
                        _ = fs::write(folder.join("servers.txt"), stack.logs());
                    }
                    Some((name.clone(), error))
                }
            }
        });
        join_all(conducted).await.into_iter().flatten().collect()
    }
}

/// Returns the stages of the alert, for a person.
fn stages(record: &Record) -> String {
    let watches = record.watches.iter().map(|watch| {
        let steps = watch.alerts().take(1).flat_map(|alert| &alert.timeline);
        let steps =
            steps.map(|step| format!("{} {:.1} s", step.stage, record.since_start(step.at)));
        let steps = steps.collect::<Vec<_>>().join(" → ");
        format!("Prometheus {}: {steps}", watch.prometheus)
    });
    watches.collect::<Vec<_>>().join("; ")
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
            beside: Beside::default(),
            browser: None,
        };
        let ordered = |order: &[String]| {
            let ordered = schedule.ordered(order).into_iter();
            ordered.map(|scenario| &*scenario.name).collect::<Vec<_>>()
        };
        assert_eq!(ordered(&CATALOGUE.together[0]), ["traps", "drop"]);
        assert_eq!(ordered(&CATALOGUE.together[2]), [""; 0]);
        assert_eq!(ordered(&CATALOGUE.one_by_one), ["traps", "latency", "drop"]);
    }
}
