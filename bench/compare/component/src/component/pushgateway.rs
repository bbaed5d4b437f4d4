//! Totals of this instance, pushed to the Pushgateway in a group of their own: a group that instances share would be
//! overwritten by each of them.

use super::{Counter, INSTANCE};
use bytes::Bytes;
use http::{Request, StatusCode};
use spin_sdk::http::FullBody;
use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

/// The totals, and the URL of their group.
pub(super) struct Pushed {
    url: String,
    totals: Mutex<BTreeMap<u16, u64>>,
}

impl Pushed {
    pub(super) fn of(application: &str, receiver: &str) -> &'static Self {
        static PUSHED: OnceLock<Pushed> = OnceLock::new();
        PUSHED.get_or_init(|| Self {
            url: format!(
                "http://{receiver}/metrics/job/{application}/instance/{}",
                *INSTANCE
            ),
            totals: Mutex::default(),
        })
    }
}

impl Counter for Pushed {
    fn add(&self, status: StatusCode) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        *totals.entry(status.as_u16()).or_default() += 1;
    }

    fn report(&self) -> Option<Request<FullBody<Bytes>>> {
        let mut page = String::from("# TYPE app_requests_total counter\n");
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        for (status, total) in &*totals {
            page += &format!("app_requests_total{{http_status=\"{status}\"}} {total}\n");
        }
        Request::put(&self.url)
            .body(FullBody::new(Bytes::from(page)))
            .ok()
    }
}
