//! The entry point: a request goes to its component, and its response to the client.

use crate::{
    in_flight::InFlight,
    message::{self, Marked, clean_request, clean_response},
    settings::{Settings, Trigger},
};
use http::StatusCode;
use request_telemetry::Reporter;
use serde_json::json;
use spin_sdk::{
    variables,
    wasip3::{
        clocks::monotonic_clock,
        exports::http::handler::Guest,
        http::{
            client,
            service::export,
            types::{ErrorCode, Request, Response, Scheme},
        },
    },
};
use std::{
    cell::OnceCell,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};
use telemetry::{Resource, inline};

/// Request header in which Spin names the route of the trigger, as the manifest has it.
const TRIGGER_HEADER: &str = "spin-raw-component-route";

thread_local! {
    /// Set once the variables are read; they do not change during an instance's life.
    static GATEWAY: OnceCell<Rc<Gateway>> = const { OnceCell::new() };
}

struct Gateway {
    settings: Settings,
    /// One for each trigger; triggers of one component share it.
    reporters: Vec<Reporter>,
}

struct Component;

export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let arrived = Instant::now();
        let gateway = match gateway().await {
            Ok(gateway) => gateway,
            Err(error) => return misconfigured(&error),
        };
        let Some((trigger, reporter)) = gateway.trigger(&request) else {
            return misconfigured(
                "the gateway's variable \"triggers\" lacks the route of a trigger",
            );
        };
        let method = message::method(request.get_method());
        let target = request.get_path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let endpoint = gateway.settings.routes.find(&method, path);
        let endpoint = endpoint.unwrap_or(&trigger.route).to_owned();
        let in_flight = InFlight::new(reporter.clone(), method, endpoint, arrived);
        // Only at this path do components look for such a header. To look for it costs several calls to the host.
        let request = match path.ends_with(inline::DESCRIBE_PATH) {
            true => clean_request(request),
            false => request,
        };
        let authority = &trigger.authority;
        let addressed = request
            .set_scheme(Some(&Scheme::Http))
            .and_then(|()| request.set_authority(Some(authority)));
        if addressed.is_err() {
            in_flight.answer(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), None, None);
            return misconfigured(&format!("{:?} is no component's id", trigger.component));
        }
        match within(gateway.settings.timeout, client::send(request)).await {
            Some(Ok(response)) => {
                let status = response.get_status_code();
                let marked = Marked::of(response.get_headers());
                in_flight.answer(status, marked.route(), marked.exception().as_deref());
                Ok(clean_response(response, status, marked))
            }
            Some(Err(error)) => {
                log(&format!("component {:?}: {error}", trigger.component));
                in_flight.answer(StatusCode::BAD_GATEWAY.as_u16(), None, None);
                message::error(
                    StatusCode::BAD_GATEWAY,
                    "the application did not answer the request",
                )
            }
            None => {
                in_flight.answer(StatusCode::GATEWAY_TIMEOUT.as_u16(), None, None);
                message::error(
                    StatusCode::GATEWAY_TIMEOUT,
                    "the application did not answer in time",
                )
            }
        }
    }
}

impl Gateway {
    fn new(settings: Settings) -> Self {
        let mut reporters: Vec<Reporter> = Vec::with_capacity(settings.triggers.len());
        for (index, trigger) in settings.triggers.iter().enumerate() {
            let earlier = settings.triggers[..index]
                .iter()
                .position(|other| other.component == trigger.component);
            reporters.push(match earlier {
                Some(earlier) => reporters[earlier].clone(),
                None => reporter(&settings, trigger),
            });
        }
        Self {
            settings,
            reporters,
        }
    }

    /// Returns the trigger that a request came by.
    fn trigger(&self, request: &Request) -> Option<(&Trigger, &Reporter)> {
        let mut all = self.settings.triggers.iter().zip(&self.reporters);
        if self.reporters.len() == 1 {
            // Each call to the host counts.
            return all.next();
        }
        // The value that Spin adds comes after those of the client.
        let routes = request.get_headers().get(TRIGGER_HEADER);
        let route = routes.last()?;
        all.find(|(trigger, _)| trigger.route.as_bytes() == *route)
    }
}

/// Returns the gateway of this instance, which the first request creates.
async fn gateway() -> Result<Rc<Gateway>, String> {
    if let Some(known) = GATEWAY.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let get = async |name: &str| match variables::get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    let settings = Settings::read(get).await;
    let settings = settings.map_err(|error| error.to_string())?;
    // Another request may have been first meanwhile.
    Ok(GATEWAY.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(Gateway::new(settings))))))
}

fn reporter(settings: &Settings, trigger: &Trigger) -> Reporter {
    let resource = Resource {
        service_name: settings.application.clone(),
        service_version: String::new(),
        component: trigger.component.clone(),
        instance: String::new(),
    };
    Reporter::start(resource, settings.routes.catalogue(), &settings.sidecar)
}

/// Waits for `future`, for at most `time`.
async fn within<F: Future>(time: Option<Duration>, future: F) -> Option<F::Output> {
    let Some(time) = time else {
        return Some(future.await);
    };
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (mut future, mut end) = (pin!(future), pin!(monotonic_clock::wait_for(nanos)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

fn misconfigured(reason: &str) -> Result<Response, ErrorCode> {
    log(reason);
    message::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the gateway is misconfigured",
    )
}

fn log(message: &str) {
    eprintln!("{}", json!({ "level": "error", "message": message }));
}
