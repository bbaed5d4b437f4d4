//! Tests of the configuration from outside: with promtool, amtool and a running metrics-host.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod alertmanager;
mod annotations;
mod chart;
mod checks;
mod command;
mod committed;
mod dashboards;
mod expression;
mod host;
mod mutants;
mod mutation;
mod newer;
mod promtool;
mod receivers;
mod routing;
mod rules;
mod runbooks;
mod scrape;
mod sink;
mod trial;
mod vocabulary;
