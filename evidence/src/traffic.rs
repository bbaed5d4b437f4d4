//! Traffic at a fixed rate, however slow the answers are.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use testkit::{
    counts::{Counts, Kind},
    http::{Client, Reply, Request, Url, empty, json, request},
};
use tokio::{
    sync::oneshot::{self, Receiver},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// Route of the service's trigger, under which requests count that the component did not answer.
const TRIGGER: &str = "/...";
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The traffic of a scenario.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests per second.
    pub rate: f64,
    /// How many of them are sent at once.
    pub burst: u32,
    /// A fault, and how many of a hundred requests have it.
    pub fault: Option<(Fault, u32)>,
}

/// A fault that a request asks for in its header `x-fault`; the service obeys where fault injection is on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The handler fails.
    Error,
    /// The handler waits so many milliseconds.
    Delay(u64),
    /// The component traps, and fails every request that its instance works on.
    Panic,
}

/// The requests of a scenario so far.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Requests sent.
    pub sent: u64,
    /// Whole answers.
    pub answered: Counts,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Why the last of them has none.
    pub problem: Option<String>,
}

/// Shared by the traffic and its observers.
pub type SharedSent = Arc<Mutex<Sent>>;

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests/s", self.rate)?;
        if self.burst > 1 {
            write!(f, " in bursts of {}", self.burst)?;
        }
        match self.fault {
            Some((Fault::Error, percent)) => write!(f, ", {percent} % failing"),
            Some((Fault::Delay(time), percent)) => write!(f, ", {percent} % delayed by {time} ms"),
            Some((Fault::Panic, percent)) => write!(f, ", {percent} % trapping"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.answered.count(|kind| kind.status.starts_with('5'));
        let (sent, answered) = (self.sent, self.answered.total());
        write!(f, "{sent} sent, {answered} answered, {failed} of them 5xx")
    }
}

impl Traffic {
    /// Returns when request `index` is due, from the start.
    fn due(&self, index: u64) -> Duration {
        let burst = u64::from(self.burst.max(1));
        let at = index / burst * burst;
        Duration::from_secs(at).div_f64(self.rate)
    }

    /// Returns the fault of request `index`: the first has it, and then an even share of the others.
    fn fault(&self, index: u64) -> Option<Fault> {
        let (fault, percent) = self.fault?;
        let faults_before = |index: u64| (index * u64::from(percent)).div_ceil(100);
        (faults_before(index + 1) > faults_before(index)).then_some(fault)
    }

    /// Returns request `index` with the template of its path. Of ten requests six list items, two read `/`, one creates
    /// an item and one reads the first.
    fn request(&self, index: u64) -> (Request, &'static str) {
        let get = |path: &str| empty(request(&format!("GET {path}")));
        let (mut request, endpoint) = match index % 10 {
            2 | 6 => (get("/"), "/"),
            4 => (json("POST /items", r#"{"name":"drill"}"#), "/items"),
            8 => (get("/items/1"), "/items/{id}"),
            _ => (get("/items?limit=5"), "/items"),
        };
        if let Some(fault) = self.fault(index) {
            let value = match fault {
                Fault::Error => "error".to_owned(),
                Fault::Delay(time) => format!("delay={time}ms"),
                Fault::Panic => "panic".to_owned(),
            };
            let value = value.try_into();
            let value = value.expect("letters, digits and '=' are a header's value");
            request.headers_mut().insert("x-fault", value);
        }
        (request, endpoint)
    }
}

/// Traffic that is being sent; ends when dropped.
pub struct Running {
    stop: oneshot::Sender<()>,
    sender: JoinHandle<()>,
}

impl Running {
    /// Begins to send to the service at `url`, and adds each request to `sent`.
    pub fn start(url: &Url, traffic: Traffic, sent: &SharedSent) -> Self {
        let (stop, stopped) = oneshot::channel();
        let client = Client::new(url.clone()).within(ANSWER);
        let sender = tokio::spawn(send(client, traffic, Arc::clone(sent), stopped));
        Self { stop, sender }
    }

    /// Sends no more, and waits for the last answer.
    ///
    /// # Errors
    /// If the sender panicked.
    pub async fn stop(self) -> Result<()> {
        // If the sender ended by itself, the next line has the reason.
        _ = self.stop.send(());
        Ok(self.sender.await?)
    }
}

/// Locks the requests so far.
pub fn lock(sent: &SharedSent) -> MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(client: Client, traffic: Traffic, sent: SharedSent, stopped: Receiver<()>) {
    let mut stopped = stopped;
    let start = Instant::now();
    let mut under_way = JoinSet::new();
    for index in 0.. {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = sleep_until(start + traffic.due(index)) => {}
        }
        lock(&sent).sent += 1;
        let (client, sent) = (client.clone(), Arc::clone(&sent));
        under_way.spawn(async move {
            let (request, endpoint) = traffic.request(index);
            let method = request.method().to_string();
            let reply = client.send(request).await;
            let mut sent = lock(&sent);
            match reply {
                Ok(reply) => {
                    let is_hosts = is_hosts(&reply);
                    let endpoint = if is_hosts { TRIGGER } else { endpoint };
                    let kind = Kind::new(method, endpoint, reply.status.as_str());
                    sent.answered.add(kind, 1);
                }
                Err(error) => {
                    sent.unanswered += 1;
                    sent.problem = Some(format!("{error:#}"));
                }
            }
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

/// Returns whether the host answered in the component's place: such an answer has a `request_id`.
fn is_hosts(reply: &Reply) -> bool {
    let body = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    reply.status.is_server_error() && body["request_id"].is_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(burst: u32, fault: Fault, percent: u32) -> Traffic {
        let (rate, fault) = (10.0, Some((fault, percent)));
        Traffic { rate, burst, fault }
    }

    #[test]
    fn requests_are_due_at_the_rate_alone_or_in_bursts() {
        let due = |burst, index| traffic(burst, Fault::Error, 0).due(index).as_millis();
        assert_eq!((due(1, 0), due(1, 1), due(1, 25)), (0, 100, 2500));
        assert_eq!((due(10, 9), due(10, 10), due(10, 19)), (0, 1000, 1000));
    }

    #[test]
    fn faults_are_spread_evenly_and_asked_for_in_the_header() {
        for (fault, expected) in [
            (Fault::Error, "error"),
            (Fault::Delay(750), "delay=750ms"),
            (Fault::Panic, "panic"),
        ] {
            for percent in [0, 4, 6, 20, 100] {
                let mut faults = 0;
                for index in 0..1000 {
                    let (request, _) = traffic(1, fault, percent).request(index);
                    let header = request.headers().get("x-fault");
                    assert!(header.is_none_or(|value| value == expected));
                    faults += u64::from(header.is_some());
                    assert_eq!(faults, ((index + 1) * u64::from(percent)).div_ceil(100));
                }
            }
        }
    }

    #[test]
    fn the_hosts_answers_are_told_from_the_components() {
        let is_hosts = |status: u16, body: &'static str| {
            let (status, headers) = (status.try_into().unwrap(), Default::default());
            let body = body.into();
            super::is_hosts(&Reply {
                status,
                headers,
                body,
            })
        };
        let hosts = r#"{"error":"internal error","request_id":"1-0"}"#;
        assert!(is_hosts(500, hosts));
        assert!(!is_hosts(500, r#"{"error":"internal error"}"#) && !is_hosts(200, hosts));
    }
}
