//! Requests of a guest without a host, which are for its own application. Wasmtime refuses them, so they get a host first.

use crate::{chaining::SELF, instance::HostState};
use http::uri::Authority;
use wasmtime::{
    Result, StoreContextMut,
    component::{Accessor, HasData, Linker, Resource},
};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::{
    WasiHttp, WasiHttpCtxView, WasiHttpView,
    p2::{
        HttpResult,
        bindings::http::{outgoing_handler::Host, types::RequestOptions},
        types::{HostFutureIncomingResponse, HostOutgoingRequest},
    },
    p3::bindings::http::{client, types},
};

/// Links `wasi:http/outgoing-handler@0.2` and `wasi:http/client@0.3`.
///
/// # Errors
/// Fails if they are linked already.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> Result<()> {
    let mut handler = linker.instance("wasi:http/outgoing-handler@0.2.12")?;
    handler.func_wrap("handle", |mut store, (request, options)| {
        match handle(&mut store, request, options) {
            Ok(response) => Ok((Ok(response),)),
            Err(error) => Ok((Err(error.downcast()?),)),
        }
    })?;
    client::add_to_linker::<_, Client>(linker, HostState::http)
}

fn handle(
    store: &mut StoreContextMut<HostState>,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> HttpResult<Resource<HostFutureIncomingResponse>> {
    let mut http = store.data_mut().http();
    let authority = &mut http.table.get_mut(&request)?.authority;
    if authority.as_deref().is_none_or(str::is_empty) {
        *authority = Some(SELF.into());
    }
    http.handle(request, options)
}

struct Client;

impl HasData for Client {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl<T> client::HostWithStore<T> for Client {
    async fn send(
        store: &Accessor<T, Self>,
        request: Resource<types::Request>,
    ) -> Result<Resource<types::Response>, TrappableError<types::ErrorCode>> {
        let prepared: Result<()> = store.with(|mut store| {
            let request = store.get().table.get_mut(&request)?;
            let host = Authority::from_static(SELF);
            request.authority.get_or_insert(host);
            Ok(())
        });
        prepared.map_err(TrappableError::trap)?;
        WasiHttp::send(&store.with_getter::<WasiHttp>(store.getter()), request).await
    }
}
