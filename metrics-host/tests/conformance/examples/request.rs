//! The request as a component sees it, with the headers that Spin adds.

#![cfg(target_arch = "wasm32")]

use conformance_component::{Failure, ensure};
use std::net::SocketAddr;
use wasip2::http::types::{IncomingRequest, Method, Scheme};

conformance_component::case!(handle);

const ROUTE: &str = "/shop/:product/:part/...";
const TARGET: &str = "/shop/lamp/bulb/spare?colour=red";

fn handle(request: &IncomingRequest) -> Result<(), Failure> {
    ensure!(matches!(request.method(), Method::Get));
    ensure!(matches!(
        request.scheme(),
        Some(Scheme::Http | Scheme::Https)
    ));
    ensure!(request.authority().as_deref() == Some("example.com"));
    ensure!(request.path_with_query().as_deref() == Some(TARGET));
    let entries = request.headers().entries();
    let mut added = Vec::new();
    for (name, value) in entries
        .iter()
        .filter(|(name, _)| name.to_lowercase().starts_with("spin"))
    {
        added.push((name.as_str(), str::from_utf8(value)?));
    }
    added.sort_unstable();
    for (name, value) in &mut added {
        match *name {
            "spin-client-addr" => {
                value.parse::<SocketAddr>()?;
                *value = "an address";
            }
            "spin-full-url" => {
                let target = value
                    .strip_prefix("http://")
                    .or(value.strip_prefix("https://"));
                *value = target.unwrap_or_default();
            }
            _ => {}
        }
    }
    // The address of the client may be missing.
    added.retain(|(name, _)| *name != "spin-client-addr");
    let expected = [
        ("spin-base-path", "/"),
        ("spin-component-route", "/shop/:product/:part"),
        (
            "spin-full-url",
            "example.com/shop/lamp/bulb/spare?colour=red",
        ),
        ("spin-matched-route", ROUTE),
        ("spin-path-info", "/spare"),
        ("spin-path-match-part", "bulb"),
        ("spin-path-match-product", "lamp"),
        ("spin-raw-component-route", ROUTE),
    ];
    if added != expected {
        return Err(format!("{added:?}").into());
    }
    Ok(())
}
