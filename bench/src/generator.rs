//! The load generator of the items API: one thread that keeps many connections busy, or sends at a fixed rate.
//!
//! At a fixed rate a request has a time at which it is due, and its latency counts from then, whether or not a connection
//! was free to send it: a server that stalls cannot make its clients leave out the requests that would have shown it
//! (*coordinated omission*).

mod answer;
mod connection;
mod latencies;
mod pace;

pub use latencies::Latencies;
pub use pace::Pace;

use anyhow::{Context, Result, ensure};
use connection::Connection;
use pace::Schedule;
use rustix::{
    buffer::spare_capacity,
    event::{epoll, epoll::EventFlags},
    fd::OwnedFd,
    io::{Errno, read},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long what was sent may take to be answered once nothing more is due.
const GRACE: Duration = Duration::from_secs(20);
/// Names the timer among the connections.
const TIMER: u64 = u64::MAX;
const MAX_EVENTS: usize = 512;
const BUFFER: usize = 64 << 10;

/// A request as it goes over the wire, and what it has to be answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Status of the answer.
    pub status: u16,
}

/// Whom to load, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Connections, kept open as long as the server likes.
    pub connections: usize,
    /// When to send.
    pub pace: Pace,
    /// How long.
    pub time: Duration,
    /// Acknowledge what arrives at once instead of with the next request: a server without `TCP_NODELAY` waits for that.
    pub quick_ack: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were answered as they should be.
    pub answers: usize,
    /// Those that were answered with another status.
    pub unexpected: usize,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// From when each request was due to its whole answer.
    pub latencies: Latencies,
}

impl Outcome {
    /// Returns the answers per second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends `requests` again and again as `plan` says.
///
/// # Errors
/// If what comes is no answer, or none comes.
pub fn run(plan: &Plan, requests: &[Request]) -> Result<Outcome> {
    Generator::connect(plan)?.run(plan, requests)
}

struct Generator {
    epoll: OwnedFd,
    timer: OwnedFd,
    connections: Vec<Connection>,
    /// Those that wait for a request, the longest first: all of them are used.
    free: VecDeque<usize>,
    buffer: Vec<u8>,
}

impl Generator {
    fn connect(plan: &Plan) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        epoll::add(
            &epoll,
            &timer,
            epoll::EventData::new_u64(TIMER),
            EventFlags::IN,
        )?;
        let connections = (0..plan.connections)
            .map(|index| {
                let connection = Connection::open(plan.address, plan.quick_ack)?;
                watch(&epoll, &connection, index)?;
                Ok(connection)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            epoll,
            timer,
            free: (0..connections.len()).collect(),
            connections,
            buffer: vec![0; BUFFER],
        })
    }

    fn run(mut self, plan: &Plan, requests: &[Request]) -> Result<Outcome> {
        let mut requests = requests.iter().cycle();
        let mut outcome = Outcome {
            answers: 0,
            unexpected: 0,
            elapsed: Duration::ZERO,
            latencies: Latencies::default(),
        };
        let mut events = Vec::with_capacity(MAX_EVENTS);
        let start = Instant::now();
        let mut schedule = Schedule::new(plan.pace, start, plan.time);
        let mut armed = None;
        loop {
            let now = Instant::now();
            while let Some(&index) = self.free.front()
                && let Some(due) = schedule.take(now)
            {
                self.free.pop_front();
                let request = requests.next().context("there is nothing to send")?;
                self.connections[index].send(request, due)?;
            }
            let waiting = self.connections.len() - self.free.len();
            if schedule.is_over(now) && waiting == 0 {
                break;
            }
            ensure!(
                now < start + plan.time + GRACE,
                "{} falls behind: {waiting} requests are still not answered {GRACE:?} after the last was due",
                plan.address
            );
            // Whoever is busy with every connection is woken by an answer.
            let wake = schedule.next().filter(|_| !self.free.is_empty());
            if wake.is_some() && wake != armed {
                self.arm(wake, now)?;
                armed = wake;
            }
            self.wait(&mut events)?;
            for event in events.drain(..) {
                let source = event.data;
                match source.u64() {
                    TIMER => self.drain_timer()?,
                    index => self.receive(index as usize, &mut outcome)?,
                }
            }
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<()> {
        // Often enough to notice that nothing comes.
        let timeout = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for answers"),
        }
    }

    /// Reads what came over a connection; afterwards it may be free, or even another.
    fn receive(&mut self, index: usize, outcome: &mut Outcome) -> Result<()> {
        let connection = &mut self.connections[index];
        if let Some(received) = connection.receive(&mut self.buffer)? {
            outcome.answers += usize::from(received.expected);
            outcome.unexpected += usize::from(!received.expected);
            outcome.latencies.push(received.latency);
            self.free.push_back(index);
        }
        if connection.is_closed() {
            connection.reopen()?;
            watch(&self.epoll, connection, index)?;
        }
        Ok(())
    }

    fn arm(&self, wake: Option<Instant>, now: Instant) -> Result<()> {
        // A timer of 0 is none.
        let wait = wake.map_or(Duration::ZERO, |wake| wake.saturating_duration_since(now));
        let wait = wait.max(Duration::from_nanos(1));
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = Itimerspec {
            it_interval: none,
            it_value: wait.try_into().context("a time to wait")?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    fn drain_timer(&self) -> Result<()> {
        match read(&self.timer, &mut [0; 8]) {
            // It was armed anew meanwhile.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error).context("cannot read the timer"),
        }
    }
}

/// Has epoll tell when something comes over it. What is closed leaves by itself.
fn watch(epoll: &OwnedFd, connection: &Connection, index: usize) -> Result<()> {
    let name = epoll::EventData::new_u64(index as u64);
    epoll::add(epoll, connection.socket(), name, EventFlags::IN)?;
    Ok(())
}

#[cfg(test)]
mod tests;
