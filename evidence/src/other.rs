//! A second application beside the one that is driven: its traffic is healthy, whatever happens to the other's.

use anyhow::Result;
use testkit::{counts::Counts, exposition::Exposition};
use tokio::sync::Mutex;

use crate::{
    record::Requests,
    system::Service,
    traffic::{Running, Sent, SharedSent, Traffic, lock},
};

/// Enough for no alert about too little traffic.
const TRAFFIC: Traffic = Traffic {
    rate: 2.0,
    burst: 1,
    fault: None,
};

/// A second application, with its traffic; both end when dropped.
pub struct Other {
    service: Service,
    sent: SharedSent,
    running: Mutex<Option<Running>>,
}

/// The requests to it so far, and its metrics after the last answer.
#[derive(Default)]
pub struct Tally {
    /// The requests.
    pub sent: Sent,
    /// The page of metrics.
    pub page: String,
    metrics: Exposition,
}

impl Other {
    /// Begins to send to a service.
    pub fn start(service: Service) -> Self {
        let sent = SharedSent::default();
        let running = Running::start(&service.api, TRAFFIC, &sent);
        let running = Mutex::new(Some(running));
        Self {
            service,
            sent,
            running,
        }
    }

    /// Reads its counters while no request is under way: the traffic pauses for that.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn tally(&self) -> Result<Tally> {
        let mut running = self.running.lock().await;
        if let Some(running) = running.take() {
            running.stop().await?;
        }
        let sent = lock(&self.sent).clone();
        let read = self.service.metrics().await;
        *running = Some(Running::start(&self.service.api, TRAFFIC, &self.sent));
        let (page, metrics) = read?;
        Ok(Tally {
            sent,
            page,
            metrics,
        })
    }
}

impl Tally {
    /// Returns the requests since an earlier tally.
    ///
    /// # Errors
    /// If a counter fell.
    pub fn since(&self, before: &Self) -> Result<Requests> {
        let [now, then] = [self, before].map(|tally| Counts::of(&tally.metrics));
        Ok(Requests {
            application: Service::application(&self.metrics),
            sent: self.sent.sent - before.sent.sent,
            unanswered: self.sent.unanswered - before.sent.unanswered,
            answered: self.sent.answered.since(&before.sent.answered)?,
            counted: now.since(&then)?,
        })
    }
}
