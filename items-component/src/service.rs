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
use http::Method;
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

/// A request as far as the service looks at it.
///
/// Each look at a header or the body crosses the boundary to the host, so they are made only where they matter.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Request {
    /// Returns the method.
    fn method(&self) -> &Method;
    /// Returns path and query.
    fn target(&self) -> &str;
    /// Returns the first value of a header that is text.
    fn header(&self, name: &str) -> Option<String>;
    /// Reads a body of at most `limit` bytes, which its head says to be `declared` bytes long, if it does.
    async fn read_body(self, declared: Option<usize>, limit: usize) -> Result<Vec<u8>, BodyError>;
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
    /// Answers a request.
    pub async fn answer(&self, request: impl Request) -> Answer {
        let target = request.target().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let matched = route::find(request.method(), path);
        let result = self.fulfil(request, matched.outcome, query).await;
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
        request: impl Request,
        outcome: Outcome<'_>,
        query: &str,
    ) -> Result<Reply, ApiError> {
        if self.fault_injection {
            self.inject_fault(&request).await?;
        }
        let (operation, id) = match outcome {
            Outcome::Operation(operation, id) => (operation, id),
            Outcome::MethodNotAllowed(allow) => return Err(ApiError::MethodNotAllowed { allow }),
            Outcome::NotFound => return Err(ApiError::NoRoute),
        };
        let id = || ItemId::parse(id).ok_or(ApiError::NoItem);
        let store = &self.store;
        match operation {
            Operation::ShowService => Ok(handler::show_service()),
            Operation::ListItems => handler::list_items(store, Page::parse(query)?).await,
            Operation::CreateItem => {
                let name = read_name(request).await?;
                handler::create_item(store, name).await
            }
            Operation::ReadItem => handler::read_item(store, id()?).await,
            Operation::ReplaceItem => {
                let id = id()?;
                let name = read_name(request).await?;
                handler::replace_item(store, id, name).await
            }
            Operation::DeleteItem => handler::delete_item(store, id()?).await,
            Operation::Live => Ok(handler::live()),
            Operation::Ready => handler::ready(store).await,
            Operation::ShowOpenApi => Ok(handler::show_openapi()),
        }
    }

    async fn inject_fault(&self, request: &impl Request) -> Result<(), ApiError> {
        let Some(asked) = request.header(fault::HEADER) else {
            return Ok(());
        };
        match Fault::parse(&asked)? {
            Fault::Error => Err(ApiError::FaultInjected),
            Fault::Panic => panic!("a drill asked for a panic"),
            Fault::Overflow => fault::overflow_stack(),
            Fault::Delay(delay) => {
                (self.sleep)(delay).await;
                Ok(())
            }
        }
    }
}

async fn read_name(request: impl Request) -> Result<ItemName, ApiError> {
    require_json(request.header("content-type").as_deref())?;
    let too_large = ApiError::TooLarge { limit: MAX_BODY };
    let declared = request
        .header("content-length")
        .and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large);
    }
    let body = request
        .read_body(declared.map(|length| length as usize), MAX_BODY)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => too_large,
            BodyError::Unreadable => ApiError::UnreadableBody,
        })?;
    parse_name(&body)
}
