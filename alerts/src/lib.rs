//! The configuration of Prometheus and Alertmanager: one source, three variants.
//!
//! `source/` holds the files with placeholders such as `${meta_for}`. [`render`] fills in what a [`Variant`] and
//! [`Addresses`] say. What an operator mounts is rendered and committed (`make rules`); tests render their own.

#![forbid(unsafe_code)]

mod addresses;
mod committed;
mod configuration;
mod duration;
mod template;
mod variant;

pub use addresses::Addresses;
pub use committed::{Folder, committed};
pub use configuration::{File, render, render_source};
pub use template::TemplateError;
pub use variant::Variant;
