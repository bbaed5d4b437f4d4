//! The configuration as its users meet it: with promtool, amtool and a running metrics-host.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod alertmanager;
mod annotations;
mod checks;
mod committed;
mod dashboards;
mod exposition;
mod expression;
mod host;
mod http;
mod mutants;
mod mutation;
mod promtool;
mod receivers;
mod routing;
mod rules;
mod runbooks;
mod sink;
mod trial;
mod vocabulary;
