//! The load driver: many connections that send the requests of a plan, and a tally of the answers.
//!
//! - *Closed loop* (the default): every connection sends the next request as soon as it has its answer.
//! - *Open loop* ([`Load::rate`]): request *k* is due at *k* / rate after the start. The connection that has been free
//!   the longest sends it. Its latency counts from when it was due, also while no connection was free: a server that
//!   stalls cannot keep its clients from sending the requests that would have shown it (*coordinated omission*).
//!
//! A request that gets no answer is not repeated. Its connection is replaced; a client that cannot connect any more
//! stops, so that a load ends when its server has gone.
//!
//! It costs few instructions per request, since the benchmark runs it on the cores of the server that it measures.

mod plan;
mod schedule;
mod tally;
mod timer;

pub use plan::{Answer, Planned};
pub use tally::Tally;

use crate::http::Connection;
use anyhow::{Result, bail};
use schedule::Schedule;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tally::Ledger;
use tokio::{sync::Notify, task::JoinSet, time::timeout};

/// Time without a single answer after which a load has failed.
const SILENCE: Duration = Duration::from_secs(60);

type Plan = Box<dyn FnMut(usize) -> Planned + Send>;
type Check = Box<dyn FnMut(&Planned, &Answer<'_>) -> bool + Send>;

/// A load that is to be started: by default one connection, without a pause and without an end.
pub struct Load {
    address: String,
    plan: Plan,
    check: Check,
    connections: usize,
    rate: Option<f64>,
    count: usize,
    time: Option<Duration>,
    quick_ack: bool,
}

/// A load that is under way. Dropping it aborts it.
pub struct Running {
    course: Arc<Course>,
    clients: JoinSet<()>,
}

/// Shared by the clients of a load.
struct Course {
    address: String,
    quick_ack: bool,
    schedule: Schedule,
    state: Mutex<State>,
    progress: Notify,
}

struct State {
    plan: Plan,
    check: Check,
    ledger: Ledger,
}

impl Load {
    /// Makes a load for the server at `host:port`; `plan` makes the request of each index.
    pub fn new<P: Into<Planned>>(
        address: impl ToString,
        mut plan: impl FnMut(usize) -> P + Send + 'static,
    ) -> Self {
        Self {
            address: address.to_string(),
            plan: Box::new(move |index| plan(index).into()),
            check: Box::new(|planned, answer| planned.expects(answer.status)),
            connections: 1,
            rate: None,
            count: usize::MAX,
            time: None,
            quick_ack: false,
        }
    }

    /// Sets the number of connections: the most requests that are under way at one time.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self {
            connections,
            ..self
        }
    }

    /// Sends so many requests a second, evenly, however long the answers take.
    #[must_use]
    pub fn rate(self, per_second: f64) -> Self {
        Self {
            rate: Some(per_second),
            ..self
        }
    }

    /// Ends after so many requests.
    #[must_use]
    pub fn count(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// Ends after this time. Requests that were due before are sent all the same.
    #[must_use]
    pub fn time(self, time: Duration) -> Self {
        Self {
            time: Some(time),
            ..self
        }
    }

    /// Sets `TCP_QUICKACK` on every connection, see [`Connection::quick_ack`].
    #[must_use]
    pub fn quick_ack(self, quick_ack: bool) -> Self {
        Self { quick_ack, ..self }
    }

    /// Checks every answer; false counts it as unexpected. Without a check, answers with another status than
    /// [`Planned::expecting`] says are unexpected.
    #[must_use]
    pub fn check(self, check: impl FnMut(&Planned, &Answer<'_>) -> bool + Send + 'static) -> Self {
        Self {
            check: Box::new(check),
            ..self
        }
    }

    /// Opens all connections, and begins to send.
    ///
    /// # Errors
    /// If a connection cannot be opened.
    pub async fn start(self) -> Result<Running> {
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let connection = Connection::open(&self.address).await?;
            connections.push(connection.quick_ack(self.quick_ack));
        }
        let start = Instant::now();
        let course = Arc::new(Course {
            schedule: Schedule::new(start, self.rate, self.count, self.time)?,
            address: self.address,
            quick_ack: self.quick_ack,
            state: Mutex::new(State {
                plan: self.plan,
                check: self.check,
                ledger: Ledger::new(start),
            }),
            progress: Notify::new(),
        });
        let mut clients = JoinSet::new();
        for connection in connections {
            let course = Arc::clone(&course);
            clients.spawn(async move { course.drive(connection).await });
        }
        Ok(Running { course, clients })
    }

    /// Starts the load, waits until it has ended, and returns the results.
    ///
    /// # Errors
    /// If a connection cannot be opened at the start, or no answer comes for a minute.
    pub async fn run(self) -> Result<Tally> {
        self.start().await?.finish().await
    }
}

impl Running {
    /// Returns the results so far.
    pub fn so_far(&self) -> Tally {
        self.course.state().ledger.tally()
    }

    /// Waits until `more` answers have come from now on.
    ///
    /// # Errors
    /// If no answer comes for a minute, or the load ends before.
    pub async fn answered(&self, more: u64) -> Result<()> {
        let answers = || self.course.state().ledger.answers;
        let enough = answers() + more;
        loop {
            let progress = self.course.progress.notified();
            if answers() >= enough {
                return Ok(());
            }
            if timeout(SILENCE, progress).await.is_err() {
                bail!("{}: {}", self.course.address, self.so_far().silence());
            }
        }
    }

    /// Begins no more requests, waits for the answers to those under way, and returns the results.
    ///
    /// # Errors
    /// If no answer comes for a minute.
    pub async fn stop(self) -> Result<Tally> {
        self.course.schedule.stop();
        self.finish().await
    }

    /// Waits until the load has ended or its server has gone, and returns the results.
    ///
    /// # Errors
    /// If no answer comes for a minute.
    pub async fn finish(mut self) -> Result<Tally> {
        loop {
            let before = self.course.state().ledger.answers;
            match timeout(SILENCE, self.clients.join_next()).await {
                Ok(None) => return Ok(self.so_far()),
                Ok(Some(client)) => client?,
                Err(_) if self.course.state().ledger.answers > before => {}
                Err(_) => bail!("{}: {}", self.course.address, self.so_far().silence()),
            }
        }
    }
}

impl Course {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends requests over one connection, and its replacements, until no more are due.
    async fn drive(&self, mut connection: Connection) {
        while let Some((index, due)) = self.schedule.take().await {
            if !self.is_usable(&connection) && !self.replace(&mut connection).await {
                return;
            }
            let planned = self.state().begin(index);
            let answer = connection.exchange(&planned.bytes, &planned.method).await;
            {
                let mut state = self.state();
                match answer {
                    Ok(answer) => {
                        let answer = Answer {
                            status: answer.status,
                            body: connection.body(answer),
                        };
                        state.end(&planned, &answer, due);
                    }
                    Err(error) => {
                        if let Some(status) = connection.begun() {
                            state.ledger.cut(&planned, status);
                        }
                        state.ledger.note(|| format!("{error:#}"));
                    }
                }
            }
            self.progress.notify_waiters();
        }
    }

    /// Returns whether the server has left a connection open. Only one that was idle is asked for, since that costs a
    /// system call.
    fn is_usable(&self, connection: &Connection) -> bool {
        connection.is_usable() && (self.schedule.is_closed_loop() || connection.is_open())
    }

    /// Connects again; false if that is not possible.
    async fn replace(&self, connection: &mut Connection) -> bool {
        match Connection::open(&self.address).await {
            Ok(another) => {
                *connection = another.quick_ack(self.quick_ack);
                true
            }
            Err(error) => {
                self.state().ledger.note(|| format!("{error:#}"));
                false
            }
        }
    }
}

impl State {
    fn begin(&mut self, index: usize) -> Planned {
        self.ledger.sent += 1;
        (self.plan)(index)
    }

    fn end(&mut self, planned: &Planned, answer: &Answer<'_>, due: Instant) {
        let expected = (self.check)(planned, answer);
        self.ledger.answer(planned, answer, due.elapsed(), expected);
    }
}

#[cfg(test)]
mod tests;
