//! The gateway component: it is public, sends each request on to the component whose trigger it stands in for, and counts
//! what came back. For places where no process can stand in front of Spin.
//!
//! `metrics-host add` writes its lines into a `spin.toml`. Spin tells the gateway the route of a request in
//! `spin-raw-component-route`, and takes a request for `http://<component>.spin.internal` to that component. Requests and
//! responses are passed on as the host's own resources: their bodies, trailers and errors never enter the gateway, and
//! the application's traps do not touch it.
//!
//! # Variables
//!
//! | variable | value |
//! |---|---|
//! | `sidecar` | `host:port` of the sidecar that receives the counts |
//! | `application` | name of the application, for the label `application` |
//! | `triggers` | route and component of each trigger, as `/api/...=api /...=web` |
//! | `routes` | a routes file, see [`routes`]; absent or empty: the trigger's route names the endpoint |
//! | `timeout` | whole seconds until a component must have begun its response; absent: Spin's own limits |
//!
//! # Counting
//!
//! | request | status |
//! |---|---|
//! | the component responds, or traps and Spin responds | that of the response |
//! | Spin cannot send it on | 502 |
//! | the component has not begun its response within `timeout` | 504 |
//! | the client leaves before there is a response | that of the response, since Spin lets the component finish; 499 where the host cancels it |
//!
//! A component may name its route and exception in the headers of [`telemetry::inline`]. They win, and are taken off. The
//! counts go to the sidecar by the rules of [`telemetry::sender`].

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "natively only the tests read variables")
)]

mod settings;

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
mod in_flight;
#[cfg(target_arch = "wasm32")]
mod message;
