//! Bodies of responses. A request is counted once the body of its response is dropped.

use crate::in_flight::InFlight;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// Body of a response. The request counts when it is dropped.
    pub struct CountedBody<B> {
        #[pin]
        content: Content<B>,
        in_flight: Option<InFlight>,
    }
}

pin_project! {
    #[project = ContentProjection]
    enum Content<B> {
        Handler { #[pin] body: B },
        /// A response of this library, which is not counted.
        Own { rest: Bytes },
    }
}

impl<B> CountedBody<B> {
    pub(crate) fn of_handler(body: B, in_flight: Option<InFlight>) -> Self {
        Self {
            content: Content::Handler { body },
            in_flight,
        }
    }

    pub(crate) fn own(rest: Bytes) -> Self {
        Self {
            content: Content::Own { rest },
            in_flight: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().content.project() {
            ContentProjection::Handler { body } => body.poll_frame(cx),
            ContentProjection::Own { rest } if rest.is_empty() => Poll::Ready(None),
            ContentProjection::Own { rest } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Handler { body } => body.is_end_stream(),
            Content::Own { rest } => rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Handler { body } => body.size_hint(),
            Content::Own { rest } => SizeHint::with_exact(rest.len() as u64),
        }
    }
}
