//! A component with one fault per path, which the host must withstand. It has no telemetry, so that the host counts its
//! requests under the trigger's route.

#[cfg(target_arch = "wasm32")]
mod component;
