//! The requests in flight in an instance. Each is counted once, also when its client leaves or a panic ends it.

use std::{
    borrow::Cow,
    cell::RefCell,
    future::poll_fn,
    pin::pin,
    time::{Duration, Instant},
};
use telemetry::{Observation, Series, attribute, method};

const INTERNAL_SERVER_ERROR: u16 = 500;

thread_local! {
    static REQUESTS: RefCell<Requests> = RefCell::default();
}

#[derive(Default)]
struct Requests {
    last_id: u64,
    /// The request whose handler is being polled.
    current: Option<u64>,
    /// In the order of arrival. An instance has few at a time, so a list is smaller and as fast as a map.
    all: Vec<Request>,
}

impl Requests {
    fn position(&self, id: u64) -> Option<usize> {
        self.all.iter().position(|request| request.id == id)
    }
}

struct Request {
    id: u64,
    method: &'static str,
    route: Cow<'static, str>,
    exception: Option<Cow<'static, str>>,
    /// `None` if nobody asks for the duration.
    arrived: Option<Instant>,
}

impl Request {
    fn elapsed(&self) -> Duration {
        self.arrived
            .map_or(Duration::ZERO, |arrived| arrived.elapsed())
    }

    fn observation(&self, status: u16, error: Option<&str>, duration: Duration) -> Observation {
        Observation {
            series: Series::new(self.method, &self.route, status, error),
            duration,
        }
    }
}

/// A request in flight; `record` counts it on drop. It is dropped once the host has taken the response: until then a
/// trap turns the response into a 500.
pub(crate) struct InFlight {
    id: u64,
    record: fn(Observation),
    /// Status and duration, once there is a response.
    answered: Option<(u16, Duration)>,
}

impl InFlight {
    /// Registers a request that has just arrived. Reading the clock is a call to the host; without it the duration is 0.
    pub(crate) fn begin(method: &str, arrived: Option<Instant>, record: fn(Observation)) -> Self {
        REQUESTS.with_borrow_mut(|requests| {
            requests.last_id += 1;
            requests.all.push(Request {
                id: requests.last_id,
                method: method::normalize(method),
                route: attribute::UNMATCHED.into(),
                exception: None,
                arrived,
            });
            Self {
                id: requests.last_id,
                record,
                answered: None,
            }
        })
    }

    /// Runs `handler` so that [`route`] and [`exception`] know which request they speak of.
    pub(crate) async fn scope<F: Future>(&self, handler: F) -> F::Output {
        let mut handler = pin!(handler);
        let swap = |current| {
            REQUESTS.with_borrow_mut(|requests| std::mem::replace(&mut requests.current, current))
        };
        poll_fn(|context| {
            let outer = swap(Some(self.id));
            let polled = handler.as_mut().poll(context);
            swap(outer);
            polled
        })
        .await
    }

    /// Sets the status; the duration ends now.
    pub(crate) fn answer(&mut self, status: u16) {
        let duration = self.with(Request::elapsed);
        self.answered = Some((status, duration));
    }

    /// Returns the route template and the class of the exception.
    pub(crate) fn named(&self) -> (Cow<'static, str>, Option<Cow<'static, str>>) {
        self.with(|request| (request.route.clone(), request.exception.clone()))
    }

    fn with<R>(&self, read: impl FnOnce(&Request) -> R) -> R {
        REQUESTS.with_borrow(|requests| {
            let position = requests.position(self.id);
            let position =
                position.expect("it is in the list until it is dropped, or the instance ends");
            read(&requests.all[position])
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let taken = REQUESTS.with_borrow_mut(|requests| {
            let position = requests.position(self.id)?;
            Some(requests.all.remove(position))
        });
        let Some(request) = taken else {
            return;
        };
        (self.record)(match self.answered {
            Some((status, duration)) => {
                request.observation(status, request.exception.as_deref(), duration)
            }
            None => request.observation(attribute::CLIENT_CLOSED_REQUEST, None, request.elapsed()),
        });
    }
}

/// Changes the request whose handler calls this; does nothing outside a handler.
fn change(change: impl FnOnce(&mut Request)) {
    REQUESTS.with_borrow_mut(|requests| {
        let current = requests.current.and_then(|id| requests.position(id));
        if let Some(position) = current {
            change(&mut requests.all[position]);
        }
    });
}

pub(crate) fn route(template: Cow<'static, str>) {
    change(|request| request.route = template);
}

pub(crate) fn exception(class: Cow<'static, str>) {
    change(|request| request.exception = Some(class));
}

/// Takes the requests that the current panic is about to end. Never panics itself.
pub(crate) fn take_interrupted() -> Vec<Observation> {
    let taken = REQUESTS.try_with(|requests| {
        let mut requests = requests.try_borrow_mut().ok()?;
        Some((requests.current, std::mem::take(&mut requests.all)))
    });
    let (current, all) = taken.ok().flatten().unwrap_or_default();
    // A panic outside a handler, such as in the writer of a body, counts once as well.
    let culprit = current.or_else(|| Some(all.first()?.id));
    all.iter()
        .map(|request| {
            let class = match Some(request.id) == culprit {
                true => attribute::ERROR_PANIC,
                false => attribute::ERROR_NEIGHBOUR,
            };
            request.observation(INTERNAL_SERVER_ERROR, Some(class), request.elapsed())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    thread_local! {
        static RECORDED: RefCell<Vec<Series>> = RefCell::default();
    }

    fn begin(method: &str) -> InFlight {
        InFlight::begin(method, None, |observation| {
            RECORDED.with_borrow_mut(|recorded| recorded.push(observation.series));
        })
    }

    fn recorded() -> Vec<Series> {
        RECORDED.take()
    }

    fn poll(handler: std::pin::Pin<&mut impl Future>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        handler.poll(&mut context).is_ready()
    }

    /// Pending once, so that two handlers can take turns.
    async fn turn() {
        let mut first = true;
        poll_fn(|_| match std::mem::take(&mut first) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    #[test]
    fn handlers_that_take_turns_name_their_own_requests() {
        let (mut one, mut other) = (begin("GET"), begin("BREW"));
        {
            let mut first = pin!(one.scope(async {
                route("/one".into());
                turn().await;
                exception("store".into());
            }));
            let mut second = pin!(other.scope(async {
                turn().await;
                route("/other".into());
            }));
            assert!(!poll(first.as_mut()) && !poll(second.as_mut()));
            assert!(poll(first) && poll(second));
        }
        exception("outside".into());
        one.answer(500);
        other.answer(200);
        drop((one, other));
        assert_eq!(
            recorded(),
            [
                Series::new("GET", "/one", 500, Some("store")),
                Series::new("_OTHER", "/other", 200, None)
            ]
        );
    }

    #[test]
    fn a_client_that_left_counts_as_499() {
        drop(begin("GET"));
        assert_eq!(recorded(), [Series::new("GET", "unmatched", 499, None)]);
    }

    #[test]
    fn a_panic_ends_all_requests_and_counts_each_once() {
        let (mut answered, panicking) = (begin("GET"), begin("PUT"));
        answered.answer(200);
        let mut interrupted = Vec::new();
        assert!(poll(pin!(panicking.scope(async {
            route("/{id}".into());
            interrupted = take_interrupted();
        }))));
        drop((answered, panicking));
        assert_eq!(recorded(), []);
        let series: Vec<_> = interrupted.into_iter().map(|one| one.series).collect();
        assert_eq!(
            series,
            [
                Series::new("GET", "unmatched", 500, Some("neighbour_panic")),
                Series::new("PUT", "/{id}", 500, Some("panic"))
            ]
        );
    }
}
