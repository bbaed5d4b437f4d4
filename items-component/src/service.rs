//! A request's way through the service: route, input, handler, reply.

use crate::{
    error::ApiError,
    fault::{self, Fault},
    handler,
    item::{ItemId, ItemName},
    request::{BodyError, MAX_BODY, Page, parse_name, require_json},
    response::{self, Reply},
    route::{self, Operation, Outcome},
    store::Store,
};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use std::time::Duration;

/// The service and what it stands on.
#[derive(Debug)]
pub struct Service<S, Sleep> {
    /// Where items are kept.
    pub store: S,
    /// Waits; used by drills.
    pub sleep: Sleep,
    /// Whether drills may ask for faults.
    pub fault_injection: bool,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path and query.
    pub uri: &'a Uri,
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// What a request came to.
#[derive(Debug)]
pub struct Answer {
    /// What the client is told.
    pub reply: Reply,
    /// The route's template, or [`telemetry::attribute::UNMATCHED`].
    pub template: &'static str,
    /// Why it was not fulfilled, if so; for telemetry and the log.
    pub error: Option<ApiError>,
}

impl<S: Store, Sleep: AsyncFn(Duration)> Service<S, Sleep> {
    /// Answers a request. `read_body` reads a body of at most the given number of bytes, and is called at most
    /// once.
    pub async fn answer(
        &self,
        head: Head<'_>,
        read_body: impl AsyncFnOnce(usize) -> Result<Vec<u8>, BodyError>,
    ) -> Answer {
        let matched = route::find(head.method, head.uri.path());
        let result = self.fulfil(head, matched.outcome, read_body).await;
        let (reply, error) = match result {
            Ok(reply) => (reply, None),
            Err(error) => (response::error(&error), Some(error)),
        };
        Answer {
            reply,
            template: matched.template,
            error,
        }
    }

    async fn fulfil(
        &self,
        head: Head<'_>,
        outcome: Outcome<'_>,
        read_body: impl AsyncFnOnce(usize) -> Result<Vec<u8>, BodyError>,
    ) -> Result<Reply, ApiError> {
        self.inject_fault(head.headers).await?;
        let (operation, id) = match outcome {
            Outcome::Operation(operation, id) => (operation, id),
            Outcome::MethodNotAllowed(allow) => return Err(ApiError::MethodNotAllowed { allow }),
            Outcome::NotFound => return Err(ApiError::NoRoute),
        };
        let id = || ItemId::parse(id).ok_or(ApiError::NoItem);
        let store = &self.store;
        match operation {
            Operation::ShowService => Ok(handler::show_service()),
            Operation::ListItems => {
                let page = Page::parse(head.uri.query().unwrap_or_default())?;
                handler::list_items(store, page).await
            }
            Operation::CreateItem => {
                let name = read_name(head.headers, read_body).await?;
                handler::create_item(store, name).await
            }
            Operation::ReadItem => handler::read_item(store, id()?).await,
            Operation::ReplaceItem => {
                let id = id()?;
                let name = read_name(head.headers, read_body).await?;
                handler::replace_item(store, id, name).await
            }
            Operation::DeleteItem => handler::delete_item(store, id()?).await,
            Operation::Live => Ok(handler::live()),
            Operation::Ready => Ok(handler::ready(store).await),
            Operation::ShowOpenApi => Ok(handler::show_openapi()),
        }
    }

    async fn inject_fault(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        const FAULT: HeaderName = HeaderName::from_static(fault::HEADER);
        let asked = headers.get(FAULT).filter(|_| self.fault_injection);
        let Some(asked) = asked else { return Ok(()) };
        match Fault::parse(asked.to_str().unwrap_or_default())? {
            Fault::Error => Err(ApiError::FaultInjected),
            Fault::Panic => panic!("a drill asked for a panic"),
            Fault::Delay(delay) => {
                (self.sleep)(delay).await;
                Ok(())
            }
        }
    }
}

async fn read_name(
    headers: &HeaderMap,
    read_body: impl AsyncFnOnce(usize) -> Result<Vec<u8>, BodyError>,
) -> Result<ItemName, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    require_json(text(header::CONTENT_TYPE))?;
    let too_large = ApiError::TooLarge { limit: MAX_BODY };
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large);
    }
    let body = read_body(MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge => too_large,
        BodyError::Unreadable => ApiError::UnreadableBody,
    })?;
    parse_name(&body)
}
