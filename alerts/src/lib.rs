//! Rules, dashboards and the configuration of Prometheus and Alertmanager, rendered from one source.
//!
//! `source/` has placeholders such as `${meta_for}`. [`rules`] and [`dashboards`] fill in the [`Settings`] of a user:
//! `metrics-host rules` and `metrics-host dashboards` print them. [`render`] makes the whole configuration of one machine, in
//! three variants. The repository commits the files that an operator mounts, and the rules of the Helm chart (`make rules`);
//! tests render their own.

#![forbid(unsafe_code)]

mod addresses;
mod chart;
mod committed;
mod configuration;
mod dashboards;
mod duration;
mod matchers;
pub mod package;
mod settings;
mod template;
pub mod value;
mod variant;

pub use addresses::Addresses;
pub use committed::{Folder, committed};
pub use configuration::{File, render, render_source, rules};
pub use dashboards::{Dashboard, dashboards};
pub use settings::{Links, Settings, Thresholds};
pub use template::TemplateError;
pub use value::Matcher;
pub use variant::Variant;
