//! A component that imports what Spin offers of all its versions, and says what it gets.

#[cfg(target_arch = "wasm32")]
mod component;
