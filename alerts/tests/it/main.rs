//! The configuration as its users meet it: with promtool, amtool and a running metrics-host.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod annotations;
mod checks;
mod committed;
mod exposition;
mod expression;
mod host;
mod mutants;
mod mutation;
mod promtool;
mod routing;
mod rules;
mod runbooks;
mod trial;
mod vocabulary;
