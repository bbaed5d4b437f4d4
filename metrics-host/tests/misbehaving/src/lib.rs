//! Does what a host must withstand, by path. Says nothing of its telemetry, so it is counted under its trigger's
//! route.

#[cfg(target_arch = "wasm32")]
mod component;
