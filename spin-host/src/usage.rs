//! Processor time and memory of a component.

use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use wasmtime::ResourceLimiter;

/// Processor time and memory of a component, over all its instances.
#[derive(Debug, Default)]
pub struct Usage {
    cpu_nanoseconds: AtomicU64,
    memory: AtomicU64,
}

impl Usage {
    /// Returns the processor time so far: that of the guest, of its start, and of the host's work in its calls.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanoseconds.load(Relaxed))
    }

    /// Returns the size of the linear memories of all live instances, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// Counts the processor time that each poll of `future` takes.
    pub(crate) fn measured<F: Future>(&self, future: F) -> Measured<'_, F> {
        Measured {
            usage: self,
            future: Box::pin(future),
        }
    }
}

/// A future whose processor time counts.
pub(crate) struct Measured<'a, F> {
    usage: &'a Usage,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Measured<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let start = Start::now();
        let result = self.future.as_mut().poll(cx);
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.usage.cpu_nanoseconds.fetch_add(nanoseconds, Relaxed);
        result
    }
}

/// Age at which a reading of a thread's processor time is too old to begin a measurement with.
const MAX_AGE: Duration = Duration::from_micros(200);

thread_local! {
    /// The last reading of this thread's processor time, and when it was made.
    static READING: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Start of a measurement of processor time.
///
/// Reading it is a system call of up to 1 µs, where a request takes 45. The time of day is cheaper, and as exact unless
/// the system runs something else meanwhile, which it does for longer than [`MAX_AGE`]. So a thread reads its processor
/// time after longer intervals, and at most once in that time else. An interval that was interrupted counts as at most
/// that much too long.
struct Start {
    at: Instant,
    /// Processor time of this thread, up to [`MAX_AGE`] earlier.
    processor: Duration,
}

impl Start {
    fn now() -> Self {
        let at = Instant::now();
        let processor = match READING.get() {
            Some((read, processor)) if at - read < MAX_AGE => processor,
            _ => read_processor_time(at),
        };
        Self { at, processor }
    }

    fn elapsed(self) -> Duration {
        let now = Instant::now();
        let elapsed = now - self.at;
        if elapsed < MAX_AGE {
            return elapsed;
        }
        elapsed.min(read_processor_time(now).saturating_sub(self.processor))
    }
}

fn read_processor_time(now: Instant) -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let time = Duration::try_from(time).unwrap_or_default();
    READING.set(Some((now, time)));
    time
}

/// The linear memories of one instance: their limit, and their part of the component's memory.
pub(crate) struct InstanceMemory {
    usage: Arc<Usage>,
    /// Largest size of one memory, in bytes.
    limit: usize,
    used: u64,
}

impl InstanceMemory {
    pub(crate) fn new(usage: &Arc<Usage>, limit: usize) -> Self {
        Self {
            usage: Arc::clone(usage),
            limit,
            used: 0,
        }
    }
}

impl ResourceLimiter for InstanceMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.limit.min(maximum.unwrap_or(usize::MAX));
        if allowed {
            // The system grants it, or the guest gives up soon.
            let growth = desired.saturating_sub(current) as u64;
            self.used += growth;
            self.usage.memory.fetch_add(growth, Relaxed);
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(usize::MAX))
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        self.usage.memory.fetch_sub(self.used, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_live_instances() {
        let usage = Arc::new(Usage::default());
        let mut first = InstanceMemory::new(&usage, 100);
        let mut second = InstanceMemory::new(&usage, 100);
        assert!(first.memory_growing(0, 60, None).unwrap());
        assert!(second.memory_growing(0, 10, Some(50)).unwrap());
        assert!(second.memory_growing(10, 50, Some(50)).unwrap());
        assert_eq!(usage.memory(), 110);
        for (desired, maximum) in [(101, None), (51, Some(50))] {
            assert!(!second.memory_growing(50, desired, maximum).unwrap());
        }
        assert_eq!(usage.memory(), 110);
        drop(second);
        assert_eq!(usage.memory(), 60);
        drop(first);
        assert_eq!(usage.memory(), 0);
    }

    #[tokio::test]
    async fn processor_time_is_that_of_the_polls() {
        let usage = Usage::default();
        usage
            .measured(tokio::time::sleep(Duration::from_millis(50)))
            .await;
        let asleep = usage.cpu();
        assert!(asleep < Duration::from_millis(10), "{asleep:?}");
        // One poll that works and blocks, and many that only work.
        let spin = |time: Duration| {
            let end = read_processor_time(Instant::now()) + time;
            while read_processor_time(Instant::now()) < end {}
        };
        usage
            .measured(async {
                spin(Duration::from_millis(20));
                std::thread::sleep(Duration::from_millis(50));
            })
            .await;
        let blocked = usage.cpu() - asleep;
        let expected = Duration::from_millis(20)..Duration::from_millis(25);
        assert!(expected.contains(&blocked), "{blocked:?}");
        let work = async {
            for _ in 0..200 {
                spin(Duration::from_micros(100));
                tokio::task::yield_now().await;
            }
        };
        usage.measured(work).await;
        let worked = usage.cpu() - asleep - blocked;
        let expected = Duration::from_millis(20)..Duration::from_millis(40);
        assert!(expected.contains(&worked), "{worked:?}");
    }
}
