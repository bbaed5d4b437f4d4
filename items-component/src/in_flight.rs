//! The requests in flight in an instance. Each is counted once, also when its client leaves or a panic ends it.

use crate::{emit, route, service::Outcome};
use http::Method;
use std::{cell::RefCell, collections::BTreeMap, time::Instant};
use telemetry::{Observation, Series, attribute, method};

/// Status of a request whose client left before the response, as in nginx.
const CLIENT_CLOSED_REQUEST: u16 = 499;
const INTERNAL_SERVER_ERROR: u16 = 500;

thread_local! {
    static IN_FLIGHT: RefCell<Requests> = RefCell::default();
}

#[derive(Default)]
struct Requests {
    last_id: u64,
    pending: BTreeMap<u64, Pending>,
}

struct Pending {
    method: &'static str,
    /// Route template, known before the handler runs.
    template: &'static str,
    arrived: Instant,
}

/// A request in flight, counted on drop. The entry point drops it once the host has taken the response: until then a
/// trap turns the response into a 500.
pub(crate) struct InFlight {
    id: u64,
    observation: Option<Observation>,
}

impl InFlight {
    /// Registers a request that has just arrived.
    pub(crate) fn begin(method: &Method, path: &str) -> Self {
        IN_FLIGHT.with_borrow_mut(|requests| {
            requests.last_id += 1;
            let pending = Pending {
                method: method::normalize(method.as_str()),
                template: route::find(method, path).template,
                arrived: Instant::now(),
            };
            requests.pending.insert(requests.last_id, pending);
            Self {
                id: requests.last_id,
                observation: None,
            }
        })
    }

    /// Sets the observation; its duration ends now.
    pub(crate) fn complete(mut self, outcome: &Outcome) -> Self {
        let status = outcome.reply.status().as_u16();
        self.observation = IN_FLIGHT.with_borrow(|requests| {
            let pending = requests.pending.get(&self.id)?;
            Some(Observation {
                series: Series::new(
                    pending.method,
                    outcome.template,
                    status,
                    outcome.error_class(),
                ),
                duration: pending.arrived.elapsed(),
            })
        });
        self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let pending = IN_FLIGHT.with_borrow_mut(|requests| requests.pending.remove(&self.id));
        let abandoned = || Some(unanswered(&pending?, CLIENT_CLOSED_REQUEST, None));
        if let Some(observation) = self.observation.take().or_else(abandoned) {
            emit::record(observation);
        }
    }
}

/// Takes the requests that the current panic is about to end. Never panics itself.
pub(crate) fn take_interrupted() -> Vec<Observation> {
    let taken = IN_FLIGHT.try_with(|requests| {
        let mut requests = requests.try_borrow_mut().ok()?;
        Some(std::mem::take(&mut requests.pending))
    });
    let pending = taken.ok().flatten().unwrap_or_default();
    let classes = std::iter::once(attribute::ERROR_PANIC)
        .chain(std::iter::repeat(attribute::ERROR_NEIGHBOUR));
    pending
        .values()
        .zip(classes)
        .map(|(pending, class)| unanswered(pending, INTERNAL_SERVER_ERROR, Some(class)))
        .collect()
}

fn unanswered(pending: &Pending, status: u16, class: Option<&str>) -> Observation {
    Observation {
        series: Series::new(pending.method, pending.template, status, class),
        duration: pending.arrived.elapsed(),
    }
}
