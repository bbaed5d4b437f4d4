//! The configuration of Prometheus and Alertmanager: one source, three variants.
//!
//! `source/` holds the files with placeholders such as `${meta_for}`. [`render`] fills in what a [`Variant`] and
//! [`Addresses`] say. What an operator mounts is rendered and committed (`make rules`); tests render their own.
//! [`expression`] says which metrics and labels a PromQL expression relies on, for rules and panels alike.

#![forbid(unsafe_code)]

mod addresses;
mod committed;
mod configuration;
mod duration;
pub mod expression;
mod template;
mod variant;

pub use addresses::Addresses;
pub use committed::{Folder, committed};
pub use configuration::{File, render};
pub use template::TemplateError;
pub use variant::Variant;
