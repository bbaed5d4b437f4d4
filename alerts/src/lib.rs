//! The configuration of Prometheus and Alertmanager, rendered from one source in three variants.
//!
//! `source/` has placeholders such as `${meta_for}`. [`render`] fills in the durations of a [`Variant`] and the
//! [`Addresses`]. The repository commits the files that an operator mounts, and the rules of the Helm chart (`make rules`);
//! tests render their own.

#![forbid(unsafe_code)]

mod addresses;
mod chart;
mod committed;
mod configuration;
mod duration;
mod namespace;
mod template;
mod thresholds;
mod variant;

pub use addresses::Addresses;
pub use committed::{Folder, committed};
pub use configuration::{File, render, render_source};
pub use template::TemplateError;
pub use variant::Variant;
