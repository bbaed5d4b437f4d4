//! One cell: a way under load, a fault, and what is counted in the end.

use crate::{
    facts::{Answers, Cell},
    programs::Programs,
    stand::{Application, Stand},
    ways::{Fault, Part, Way},
};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use testkit::{
    http::{Request, empty, json, request},
    load::{Load, Running, Tally},
    wait::{Seen, Wait},
};
use tokio::time::sleep;

const CONNECTIONS: usize = 16;
/// Requests a second.
const RATE: f64 = 150.0;
/// Answers before and after a fault.
const PART: u64 = 300;
/// Time that what was killed is down.
const DOWN: Duration = Duration::from_secs(1);
/// Time that a receiver is away.
const AWAY: Duration = Duration::from_secs(4);
/// Requests that follow the load, one a second, as in a service that goes on.
const LAST: usize = 3;
/// Time without a change after which counts are final: Spin exports its spans every five seconds.
const STILL: Duration = Duration::from_secs(7);
/// Time for what would be counted twice.
const TWICE: Duration = Duration::from_secs(2);
/// Longest wait for the last counts.
const SETTLED: Duration = Duration::from_secs(25);

/// Returns request `index` of a mix with every status that all ways give.
fn mixed(index: usize, traps: bool) -> (Request, &'static str) {
    let root = || request("GET /");
    let request = match index % 20 {
        7 if traps => empty(root().header("x-fault", "panic")),
        3 | 9 | 15 => json("POST /items", r#"{"name":"measured"}"#),
        5 | 13 => json("POST /items", r#"{"name":""}"#),
        11 | 17 => empty(request("GET /nowhere")),
        19 => empty(request("GET /items").header("x-fault", "error")),
        index if index % 2 == 0 => empty(request("GET /items?limit=5")),
        _ => empty(root()),
    };
    (request, "")
}

async fn load(application: &Application, traps: bool) -> Result<Running> {
    let load = Load::new(application.api, move |index| mixed(index, traps));
    load.connections(CONNECTIONS).rate(RATE).start().await
}

/// Answers to the clients of each application.
type Tallies = Vec<(&'static str, Tally)>;

/// Runs it.
///
/// # Errors
/// If a program does not start, or no answer comes for a minute.
pub(crate) async fn run(way: &Way, fault: Fault, programs: &Programs) -> Result<Cell> {
    let mut stand = Stand::start(way, fault, programs).await?;
    let mut seen = drive(way, fault, &mut stand).await?;
    let first = usize::from(fault == Fault::Rolled);
    for application in &stand.applications[first..] {
        let load = Load::new(application.api, |_| mixed(0, false));
        let last = load.rate(1.0).count(LAST).run().await?;
        seen.push((application.name, last));
    }
    let mut cell = Cell::new(&way.name, fault);
    for (application, tally) in &seen {
        let begun = tally.begun();
        cell.unanswered += tally.sent - begun.total();
        for (kind, count) in begun.iter() {
            let same = |answers: &&mut Answers| {
                answers.application == *application && answers.status == kind.status
            };
            match cell.answers.iter_mut().find(same) {
                Some(answers) => answers.count += count,
                None => cell.answers.push(Answers {
                    application: (*application).into(),
                    status: kind.status.clone(),
                    count,
                }),
            }
        }
    }
    cell.answers
        .sort_by(|a, b| (&a.application, &a.status).cmp(&(&b.application, &b.status)));
    settle(way, &stand, &mut cell).await?;
    Ok(cell)
}

async fn drive(way: &Way, fault: Fault, stand: &mut Stand<'_>) -> Result<Tallies> {
    let first = &stand.applications[0];
    let name = first.name;
    let running = load(first, fault == Fault::Traps).await?;
    let mut seen = Vec::new();
    match fault {
        Fault::None | Fault::Traps | Fault::Reply | Fault::Recycled => {
            running.answered(2 * PART).await?;
            seen.push((name, running.stop().await?));
        }
        Fault::Killed if matches!(way.killed, Part::Application | Part::Front) => {
            running.answered(PART).await?;
            stand.kill()?;
            // Clients cannot connect any more.
            seen.push((name, running.finish().await?));
            sleep(DOWN).await;
            stand.restart().await?;
            let running = load(&stand.applications[0], false).await?;
            running.answered(PART).await?;
            seen.push((name, running.stop().await?));
        }
        Fault::Killed => {
            running.answered(PART).await?;
            stand.kill()?;
            sleep(DOWN).await;
            stand.restart().await?;
            running.answered(PART).await?;
            seen.push((name, running.stop().await?));
        }
        Fault::Away => {
            running.answered(PART).await?;
            stand.stop_receiver().await?;
            sleep(AWAY).await;
            stand.start_receiver().await?;
            running.answered(PART).await?;
            seen.push((name, running.stop().await?));
        }
        Fault::Two => {
            let second = &stand.applications[1];
            let other = load(second, false).await?;
            running.answered(PART).await?;
            other.answered(PART / 2).await?;
            seen.push((name, running.stop().await?));
            seen.push((second.name, other.stop().await?));
        }
        Fault::Rolled => {
            let [first, second] = &mut stand.applications[..] else {
                anyhow::bail!("a rollout has two replicas");
            };
            running.answered(PART).await?;
            second.start().await?;
            seen.push((name, running.stop().await?));
            first.stop().await?;
            let running = load(second, false).await?;
            running.answered(PART).await?;
            seen.push((name, running.stop().await?));
        }
    }
    Ok(seen)
}

/// Waits until all answers are counted, or counts do not change any more.
async fn settle(way: &Way, stand: &Stand<'_>, cell: &mut Cell) -> Result<()> {
    let wait = Wait::up_to(SETTLED).every(Duration::from_millis(500));
    let (mut before, mut since) = (None, Instant::now());
    let settled = wait.until("the last counts", async || {
        cell.series = stand.series().await?;
        let difference = cell.difference(way);
        let now = Some((difference, cell.counted(way)));
        if now != before {
            (before, since) = (now, Instant::now());
        }
        let still = if difference.is_none() { TWICE } else { STILL };
        Ok(Seen::when(since.elapsed() >= still, "changing"))
    });
    if let Err(missed) = settled.await {
        // Counts that still change are reported as they are.
        ensure!(missed.last == "changing", missed);
    }
    Ok(())
}
