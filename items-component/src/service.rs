//! The service without WASI: route → input → handler → reply.

use crate::{
    error::ApiError,
    fault::{self, Fault},
    handler,
    item::{ItemId, ItemName},
    request::{BodyError, MAX_BODY, Page, parse_name, require_json},
    response::{self, Reply},
    route::{self, Action, Operation},
    store::Store,
};
use http::Method;
use request_telemetry as telemetry;
use std::time::Duration;

/// The service and its dependencies.
#[derive(Debug)]
pub struct Service<S, Sleep> {
    /// The items.
    pub store: S,
    /// Waits for a duration; used by fault injection.
    pub sleep: Sleep,
    /// Whether requests may ask for faults.
    pub fault_injection: bool,
}

/// The parts of a request that the service reads.
///
/// Reading a header or the body is a call to the host, so the service does it only where needed.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Request {
    /// Returns the method.
    fn method(&self) -> &Method;
    /// Returns the path and query.
    fn target(&self) -> &str;
    /// Returns the first value of a header, if it is UTF-8.
    fn header(&self, name: &str) -> Option<String>;
    /// Reads a body of at most `limit` bytes.
    async fn read_body(self, limit: usize) -> Result<Vec<u8>, BodyError>;
}

/// The outcome of a request.
#[derive(Debug)]
pub struct Outcome {
    /// The response to the client.
    pub reply: Reply,
    /// Route template, or [`telemetry::attribute::UNMATCHED`].
    pub template: &'static str,
    /// The error behind the reply, for the log.
    pub error: Option<ApiError>,
}

impl<S: Store, Sleep: AsyncFn(Duration)> Service<S, Sleep> {
    /// Handles a request.
    pub async fn handle(&self, request: impl Request) -> Outcome {
        let target = request.target().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let matched = route::find(request.method(), path);
        telemetry::route(matched.template);
        let (reply, error) = match self.dispatch(request, matched.action, query).await {
            Ok(reply) => (reply, None),
            Err(error) => (response::error(&error), Some(error)),
        };
        if let Some(class) = error.as_ref().and_then(ApiError::class) {
            telemetry::exception(class);
        }
        Outcome {
            reply,
            template: matched.template,
            error,
        }
    }

    async fn dispatch(
        &self,
        request: impl Request,
        action: Action<'_>,
        query: &str,
    ) -> Result<Reply, ApiError> {
        if self.fault_injection {
            self.inject_fault(&request).await?;
        }
        let (operation, id) = match action {
            Action::Run(operation, id) => (operation, id),
            Action::MethodNotAllowed(allow) => return Err(ApiError::MethodNotAllowed { allow }),
            Action::NotFound => return Err(ApiError::NoRoute),
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
            Fault::Panic => panic!("injected panic"),
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
        .read_body(MAX_BODY)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => too_large,
            BodyError::Unreadable => ApiError::UnreadableBody,
        })?;
    parse_name(&body)
}
