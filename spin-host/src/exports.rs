//! The functions of a component that handle requests, and calls of them.

use crate::{
    buffered::{self, Arrived},
    instance::HostState,
    message,
};
use futures::{
    channel::oneshot,
    future::{self, Either},
};
use http::Response;
use std::pin::pin;
use wasmtime::{
    Result, Store, StoreContextMut,
    component::{Accessor, ComponentExportIndex, Func, InstancePre},
    error::Context,
};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView,
    handler::{ExpirationError, Prepared, Proxy, ProxyPre},
    p2, p3,
};

/// Receiver of a response.
pub(crate) type Sender = oneshot::Sender<Result<Response<WasiBody>>>;

/// The exports of a component, before it is instantiated.
pub(crate) struct ExportsPre {
    proxy: ProxyPre<HostState>,
    /// The function that takes requests as values.
    buffered: Option<ComponentExportIndex>,
}

/// The exports of an instance.
pub(crate) struct Exports {
    proxy: Proxy,
    buffered: Option<buffered::Handler>,
}

impl ExportsPre {
    /// Finds the exports; `None` if the component serves no HTTP.
    pub(crate) fn find(component: InstancePre<HostState>) -> Option<Self> {
        if let Ok(service) = p3::bindings::ServicePre::new(component.clone()) {
            let component = component.component();
            let interface = component.get_export_index(None, buffered::INTERFACE);
            return Some(Self {
                proxy: ProxyPre::P3(service),
                buffered: interface.and_then(|interface| {
                    component.get_export_index(Some(&interface), buffered::FUNCTION)
                }),
            });
        }
        let proxy = p2::bindings::ProxyPre::new(component).ok()?;
        Some(Self {
            proxy: ProxyPre::P2(proxy),
            buffered: None,
        })
    }

    /// Returns whether the component is of WASI 0.2, whose instances handle one request each.
    pub(crate) fn is_synchronous(&self) -> bool {
        matches!(self.proxy, ProxyPre::P2(_))
    }

    /// Returns whether the component takes requests as values.
    pub(crate) fn takes_values(&self) -> bool {
        self.buffered.is_some()
    }

    /// Creates an instance.
    pub(crate) async fn instantiate(&self, store: &mut Store<HostState>) -> Result<Exports> {
        let service = match &self.proxy {
            ProxyPre::P3(service) => service,
            ProxyPre::P2(_) => {
                return Ok(Exports {
                    proxy: self.proxy.instantiate_async(store).await?,
                    buffered: None,
                });
            }
        };
        let instance = service
            .instance_pre()
            .instantiate_async(&mut *store)
            .await?;
        let service = p3::bindings::Service::new(&mut *store, &instance)?;
        let buffered = self.buffered.map(|index| {
            let function = instance.get_typed_func(&mut *store, index);
            function.with_context(|| format!("{} in another form", buffered::INTERFACE))
        });
        Ok(Exports {
            proxy: Proxy::P3(service),
            buffered: buffered.transpose()?,
        })
    }
}

impl Exports {
    /// Returns whether the component is of WASI 0.2. It writes a body before its handler returns.
    pub(crate) fn is_synchronous(&self) -> bool {
        matches!(self.proxy, Proxy::P2(_))
    }

    /// Returns the function of WASI that handles requests.
    pub(crate) fn function(&self) -> Func {
        match &self.proxy {
            Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
            Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
        }
    }

    /// Passes a request to the guest. The response, or the guest's error, goes to `sender`.
    pub(crate) fn start(
        &self,
        store: StoreContextMut<'_, HostState>,
        request: Arrived,
        sender: Sender,
    ) -> Result<Call<'_>> {
        match request {
            Arrived::Streaming(request) => {
                let request = message::to_guest(request);
                let call = Prepared::new(store, &self.proxy, request, HostState::http, sender)?;
                Ok(Call::Streaming(call))
            }
            Arrived::Whole(request) => {
                let handler = self
                    .buffered
                    .expect("requests are whole for components that take them");
                Ok(Call::Whole {
                    handler,
                    call: buffered::start(handler, store, request)?,
                    sender,
                })
            }
        }
    }
}

/// A request that the guest has begun.
pub(crate) enum Call<'a> {
    Streaming(Prepared<'a, HostState>),
    Whole {
        handler: buffered::Handler,
        call: buffered::Call,
        sender: Sender,
    },
}

impl Call<'_> {
    /// Awaits the head of the response, and passes it on. Returns false if the request expires before.
    pub(crate) async fn run(
        self,
        accessor: &Accessor<HostState>,
        expiration: impl Future<Output = ()>,
    ) -> Result<bool> {
        match self {
            Self::Streaming(call) => call.run(accessor, expiration).await,
            Self::Whole {
                handler,
                call,
                sender,
            } => {
                let response = pin!(buffered::finish(handler, accessor, call));
                let (response, in_time) = match future::select(response, pin!(expiration)).await {
                    Either::Left((response, _)) => (response, true),
                    // The guest goes on.
                    Either::Right(_) => (Err(ExpirationError.into()), false),
                };
                _ = sender.send(response);
                Ok(in_time)
            }
        }
    }
}
