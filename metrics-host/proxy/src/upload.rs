//! The request to the application, and its body.

use bytes::Bytes;
use edge::{RequestBody, RequestBodyError};
use http::{Request, StatusCode, header, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_server::InterimResponses;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

/// Longest wait for the interim response 100 before a body that expects one is sent without it (RFC 9110, section
/// 10.1.1).
const CONTINUE: Duration = Duration::from_secs(1);

/// When a request last made progress.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    /// In milliseconds since `start`.
    last: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    fn note(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
    }

    /// Returns the time since the last progress.
    pub(crate) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}

/// The body of a request. If the client expects the interim response 100, it is not read before the application wants
/// it.
#[derive(Debug)]
pub(crate) struct Upload {
    body: RequestBody,
    progress: Arc<Progress>,
    expectation: Option<Expectation>,
}

#[derive(Debug)]
struct Expectation {
    met: oneshot::Receiver<()>,
    timeout: Pin<Box<Sleep>>,
}

/// Builds the request to the application. Its interim responses go to the client.
pub(crate) fn request(
    mut head: Parts,
    body: RequestBody,
    progress: &Arc<Progress>,
) -> Request<Upload> {
    let expects = head
        .headers
        .get(header::EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let (meet, met) = oneshot::channel();
    let meet = Mutex::new(expects.then_some(meet));
    let upload = Upload {
        body,
        progress: Arc::clone(progress),
        expectation: expects.then(|| Expectation {
            met,
            timeout: Box::pin(sleep(CONTINUE)),
        }),
    };
    let client = head.extensions.remove::<InterimResponses>();
    let mut request = Request::from_parts(head, upload);
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            // The server sends its own when the body is read.
            let meet = meet.lock().unwrap_or_else(PoisonError::into_inner).take();
            meet.map(|meet| meet.send(()));
        } else if let Some(client) = &client {
            client.send(response.status(), response.headers());
        }
    });
    request
}

/// Returns a copy of a request that has no body.
pub(crate) fn repeat(request: &Request<Upload>) -> Option<Box<Request<Upload>>> {
    let upload = request.body();
    if !upload.body.is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Upload {
        body: RequestBody::empty(),
        progress: Arc::clone(&upload.progress),
        expectation: None,
    });
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(Box::new(copy))
}

impl Body for Upload {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if let Some(expectation) = &mut self.expectation {
            let is_met = Pin::new(&mut expectation.met).poll(cx).is_ready();
            if !is_met && expectation.timeout.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.expectation = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.progress.note();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
