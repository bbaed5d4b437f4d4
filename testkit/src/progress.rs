//! Bars of long work: what it does, how far it is, and how long it takes. They are on stderr, and only if that is a
//! terminal; lines that are printed meanwhile go through [`aside`].

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::{
    fmt::{Display, Write},
    sync::LazyLock,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Pause between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// All bars, one below the other: a process has one terminal.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A bar, which disappears when it is dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows a bar for a number of steps of `what`.
    pub fn of(what: &str, steps: usize) -> Self {
        let bar = BARS.add(ProgressBar::new(steps as u64).with_prefix(what.to_owned()));
        bar.set_style(style("{pos}/{len}"));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Counts a step that is done.
    pub fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        BARS.remove(&self.0);
    }
}

/// Yields `items`, with a bar that names the one whose turn it is, and counts those before it.
pub fn over<I: IntoIterator<Item: Display>>(what: &str, items: I) -> impl Iterator<Item = I::Item> {
    let items = items.into_iter();
    let progress = Progress::of(what, items.size_hint().0);
    items.enumerate().map(move |(done, item)| {
        progress.0.set_message(format!(" {item}"));
        progress.0.set_position(done as u64);
        item
    })
}

/// Does `work` that takes a known time, with a bar that shows how much of it has passed.
pub async fn during<T>(what: &str, time: Duration, work: impl Future<Output = T>) -> T {
    let progress = Progress::of(what, time.as_secs() as usize);
    progress.0.set_style(style("{percent} %"));
    let start = Instant::now();
    let clock = async {
        loop {
            sleep(TICK).await;
            progress.0.set_position(start.elapsed().as_secs());
        }
    };
    tokio::select! {
        done = work => done,
        never = clock => never,
    }
}

/// Prints something above the bars.
pub fn aside<T>(print: impl FnOnce() -> T) -> T {
    BARS.suspend(print)
}

fn style(position: &str) -> ProgressStyle {
    let template =
        format!("{{prefix}}{{msg}}  {{bar:30}}  {position}, {{elapsed_precise}}{{left}}");
    let style = ProgressStyle::with_template(&template).expect("the template is a constant");
    // Before the first step nothing is known.
    let left = |state: &ProgressState, writer: &mut dyn Write| {
        if state.pos() > 0 {
            _ = write!(writer, ", about {} s left", state.eta().as_secs());
        }
    };
    style.with_key("left", left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_comes_in_its_order() {
        assert_eq!(over("a test", 1..=3).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(over("a test", [""; 0]).count(), 0);
    }

    #[tokio::test]
    async fn work_ends_when_it_is_done() {
        let work = async { 7 };
        assert_eq!(during("a test", Duration::from_secs(60), work).await, 7);
    }
}
