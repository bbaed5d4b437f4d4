//! The whole system under proof: the service, and who watches it.

use crate::{alertmanager::Alertmanager, prometheus::Prometheus, service::Service};

/// A service with its Prometheus and its Alertmanager.
#[derive(Clone, Debug)]
pub struct System {
    /// What is driven.
    pub service: Service,
    /// Where alerts come from.
    pub prometheus: Prometheus,
    /// Where notifications come from.
    pub alertmanager: Alertmanager,
}
