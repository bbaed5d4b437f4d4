//! A component with a misdeed for each path, all of which a host must withstand. It sends no telemetry, so its requests
//! are counted under the route of its trigger.

#[cfg(target_arch = "wasm32")]
mod component;
