//! Traffic at a given rate, whatever the answers: who is slow is not asked less.

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header::HeaderValue};
use serde::Deserialize;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    connection::{Answer, Connection, request},
    tally::{Kind, Tally},
    url::BaseUrl,
};

/// How long an answer may take before its request counts as unanswered.
const ANSWER: Duration = Duration::from_secs(30);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Requests per second.
    pub rate: u32,
    /// How many of them at once.
    pub burst: u32,
    /// What is to go wrong, and with how many in a hundred.
    pub fault: Option<(Fault, u32)>,
}

/// What is to go wrong with a request: the service obeys the header `x-fault` where drills are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The handler fails.
    Error,
    /// The handler takes longer.
    Delay(Duration),
    /// The component traps, and with it every request that its instance works on.
    Panic,
}

/// What became of the traffic so far.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Requests that were begun.
    pub sent: u64,
    /// Answers that were read to their end.
    pub answered: Tally,
    /// Requests that got none.
    pub unanswered: u64,
    /// Why the last of them did not.
    pub problem: Option<String>,
}

/// A request, and the template of its path.
struct Planned {
    method: Method,
    target: &'static str,
    endpoint: &'static str,
    body: Option<(&'static str, Bytes)>,
    fault: Option<Fault>,
}

impl Fault {
    fn header(self) -> HeaderValue {
        let value = match self {
            Self::Error => "error".to_owned(),
            Self::Delay(time) => format!("delay={}ms", time.as_millis()),
            Self::Panic => "panic".to_owned(),
        };
        HeaderValue::from_str(&value).expect("letters and digits are a header's value")
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} requests/s", self.rate)?;
        if self.burst > 1 {
            write!(formatter, " in bursts of {}", self.burst)?;
        }
        match self.fault {
            Some((Fault::Error, percent)) => write!(formatter, ", {percent} % failing"),
            Some((Fault::Delay(time), percent)) => {
                write!(
                    formatter,
                    ", {percent} % delayed by {} ms",
                    time.as_millis()
                )
            }
            Some((Fault::Panic, percent)) => write!(formatter, ", {percent} % trapping"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.answered.count(|kind| kind.status.starts_with('5'));
        let answered = self.answered.total();
        write!(
            formatter,
            "{} sent, {answered} answered, {failed} of them 5xx",
            self.sent
        )
    }
}

impl Sent {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.unanswered += other.unanswered;
        self.answered.merge(&other.answered);
        self.problem = other.problem.clone().or(self.problem.take());
    }
}

impl Traffic {
    /// Returns when the request `index` is due, from the start.
    fn due(&self, index: u64) -> Duration {
        let burst = u64::from(self.burst.max(1));
        let at = index / burst * burst;
        Duration::from_secs(at).div_f64(f64::from(self.rate.max(1)))
    }

    /// Returns what goes wrong with the request `index`: the first, and from then on evenly so many in a hundred.
    fn fault(&self, index: u64) -> Option<Fault> {
        let (fault, percent) = self.fault?;
        let faults_before = |index: u64| (index * u64::from(percent)).div_ceil(100);
        (faults_before(index + 1) > faults_before(index)).then_some(fault)
    }

    /// Returns the request `index`: of ten requests six list items, two ask what this is, one creates an item and one
    /// asks for the first.
    fn plan(&self, index: u64) -> Planned {
        let (method, target, endpoint, body) = match index % 10 {
            2 | 6 => (Method::GET, "/", "/", None),
            4 => {
                let item = Bytes::from_static(br#"{"name":"drill"}"#);
                (
                    Method::POST,
                    "/items",
                    "/items",
                    Some(("application/json", item)),
                )
            }
            8 => (Method::GET, "/items/1", "/items/{id}", None),
            _ => (Method::GET, "/items?limit=5", "/items", None),
        };
        Planned {
            method,
            target,
            endpoint,
            body,
            fault: self.fault(index),
        }
    }
}

impl Planned {
    fn request(self, url: &BaseUrl) -> Result<Request<Full<Bytes>>> {
        let mut request = request(self.method, &url.target(self.target), self.body)?;
        if let Some(fault) = self.fault {
            request.headers_mut().insert("x-fault", fault.header());
        }
        Ok(request)
    }
}

/// Traffic that is under way.
pub struct Running {
    state: Arc<State>,
    stop: oneshot::Sender<()>,
    sender: JoinHandle<()>,
}

struct State {
    url: BaseUrl,
    sent: Mutex<Sent>,
    /// Connections that wait for a request.
    idle: Mutex<Vec<Connection>>,
}

impl Running {
    /// Begins to send to the service at `url`.
    pub fn start(url: &BaseUrl, traffic: Traffic) -> Self {
        let state = Arc::new(State {
            url: url.clone(),
            sent: Mutex::default(),
            idle: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let sender = tokio::spawn(send(Arc::clone(&state), traffic, stopped));
        Self {
            state,
            stop,
            sender,
        }
    }

    /// Returns what became of it so far.
    pub fn so_far(&self) -> Sent {
        self.state.sent().clone()
    }

    /// Sends no more, and returns what became of all of it once the last answer was read.
    ///
    /// # Errors
    /// If sending failed for a reason of our own.
    pub async fn stop(self) -> Result<Sent> {
        // Whoever sends may have ended already, which the next line tells.
        _ = self.stop.send(());
        self.sender.await?;
        Ok(self.state.sent().clone())
    }
}

impl State {
    fn sent(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, planned: Planned) {
        let method = planned.method.to_string();
        let endpoint = planned.endpoint;
        let answer = timeout(ANSWER, self.answer(planned)).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {ANSWER:?}")));
        let mut sent = self.sent();
        match answer {
            Ok(answer) => {
                let kind = Kind {
                    method,
                    endpoint: answerer(&answer).unwrap_or(endpoint).to_owned(),
                    status: answer.status.as_str().to_owned(),
                };
                sent.answered.add(kind, 1);
            }
            Err(error) => {
                sent.unanswered += 1;
                sent.problem = Some(format!("{error:#}"));
            }
        }
    }

    async fn answer(&self, planned: Planned) -> Result<Answer> {
        let request = planned.request(&self.url)?;
        let mut connection = self.connection().await?;
        let answer = connection.send(request).await?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(answer)
    }

    /// Returns a connection that waits and is still open, or else a new one.
    async fn connection(&self) -> Result<Connection> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(mut connection) = idle else {
                return Connection::open(&self.url).await;
            };
            if connection.is_open().await {
                return Ok(connection);
            }
        }
    }
}

/// Returns the endpoint of an answer that the host gave in the component's place; a client knows it by its `request_id`.
fn answerer(answer: &Answer) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "request_id")]
        _request_id: String,
    }
    let hosts =
        answer.status.is_server_error() && serde_json::from_slice::<Refusal>(&answer.body).is_ok();
    hosts.then_some("unreported")
}

async fn send(state: Arc<State>, traffic: Traffic, mut stopped: oneshot::Receiver<()>) {
    let start = Instant::now();
    let mut under_way = JoinSet::new();
    for index in 0.. {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = sleep_until(start + traffic.due(index)) => {}
        }
        state.sent().sent += 1;
        let planned = traffic.plan(index);
        let state = Arc::clone(&state);
        under_way.spawn(async move { state.exchange(planned).await });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(burst: u32, percent: u32) -> Traffic {
        Traffic {
            rate: 10,
            burst,
            fault: Some((Fault::Error, percent)),
        }
    }

    #[test]
    fn requests_are_due_at_the_rate_alone_or_in_bursts() {
        let due = |burst, index| traffic(burst, 0).due(index).as_millis();
        assert_eq!((due(1, 0), due(1, 1), due(1, 25)), (0, 100, 2500));
        assert_eq!((due(10, 9), due(10, 10), due(10, 19)), (0, 1000, 1000));
    }

    #[test]
    fn faults_are_spread_evenly_and_begin_at_once() {
        for percent in [0, 4, 6, 20, 100] {
            let faulty = |index: u64| traffic(1, percent).fault(index).is_some();
            let mut faults = 0;
            for index in 0..1000 {
                faults += u64::from(faulty(index));
                assert_eq!(faults, ((index + 1) * u64::from(percent)).div_ceil(100));
            }
        }
    }

    #[test]
    fn a_fault_is_asked_for_in_the_header() {
        assert_eq!(Fault::Error.header(), "error");
        assert_eq!(
            Fault::Delay(Duration::from_millis(750)).header(),
            "delay=750ms"
        );
        assert_eq!(Fault::Panic.header(), "panic");
    }

    #[test]
    fn the_hosts_own_answers_are_told_from_the_components() {
        let endpoint = |status: u16, body: &'static str| {
            answerer(&Answer {
                status: status.try_into().unwrap(),
                body: Bytes::from_static(body.as_bytes()),
            })
        };
        let hosts = r#"{"error":"internal error","request_id":"1-0"}"#;
        assert_eq!(endpoint(500, hosts), Some("unreported"));
        assert_eq!(endpoint(500, r#"{"error":"internal error"}"#), None);
        assert_eq!(endpoint(200, hosts), None);
    }
}
