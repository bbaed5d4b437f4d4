//! The requests that an instance is answering, so that none goes uncounted whatever becomes of it.

use crate::emit;
use std::{cell::RefCell, collections::BTreeMap, time::Instant};
use telemetry::{Observation, Series, attribute, method};

/// Status of a request whose client left before the answer, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;
const INTERNAL_SERVER_ERROR: u16 = 500;

thread_local! {
    static IN_FLIGHT: RefCell<Requests> = RefCell::default();
}

#[derive(Default)]
struct Requests {
    started: u64,
    open: BTreeMap<u64, Open>,
}

struct Open {
    method: &'static str,
    arrived: Instant,
}

/// A request under way. It is counted when this is dropped, which is when its answer was handed to the host: until
/// then a trap turns it into a 500.
pub(crate) struct InFlight {
    number: u64,
    observation: Option<Observation>,
}

impl InFlight {
    /// Notes a request that has just arrived.
    pub(crate) fn begin(method: &str) -> Self {
        IN_FLIGHT.with_borrow_mut(|requests| {
            requests.started += 1;
            let open = Open {
                method: method::normalize(method),
                arrived: Instant::now(),
            };
            requests.open.insert(requests.started, open);
            Self {
                number: requests.started,
                observation: None,
            }
        })
    }

    /// Notes that the answer is made, now.
    pub(crate) fn answered(mut self, template: &str, status: u16, class: Option<&str>) -> Self {
        self.observation = IN_FLIGHT.with_borrow(|requests| {
            let open = requests.open.get(&self.number)?;
            Some(Observation {
                series: Series::new(open.method, template, status, class),
                duration: open.arrived.elapsed(),
            })
        });
        self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let open = IN_FLIGHT.with_borrow_mut(|requests| requests.open.remove(&self.number));
        let unanswered = || Some(unreported(&open?, CLIENT_CLOSED_REQUEST, None));
        if let Some(observation) = self.observation.take().or_else(unanswered) {
            emit::record(observation);
        }
    }
}

/// Returns the requests that a trap is about to answer, and forgets them. Never panics.
pub(crate) fn victims() -> Vec<Observation> {
    let taken = IN_FLIGHT.try_with(|requests| {
        let mut requests = requests.try_borrow_mut().ok()?;
        Some(std::mem::take(&mut requests.open))
    });
    let open = taken.ok().flatten().unwrap_or_default();
    let classes = std::iter::once(attribute::ERROR_PANIC)
        .chain(std::iter::repeat(attribute::ERROR_NEIGHBOUR));
    open.values()
        .zip(classes)
        .map(|(open, class)| unreported(open, INTERNAL_SERVER_ERROR, Some(class)))
        .collect()
}

fn unreported(open: &Open, status: u16, class: Option<&str>) -> Observation {
    Observation {
        series: Series::new(open.method, attribute::UNREPORTED, status, class),
        duration: open.arrived.elapsed(),
    }
}
