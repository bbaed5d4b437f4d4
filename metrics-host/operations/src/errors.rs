//! The last errors of requests, as the log has them.

use jiff::Timestamp;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most errors that are kept.
const MAX_KEPT: usize = 500;
/// Most errors of one route that are shown.
const MAX_SHOWN: usize = 20;
/// Longest text that is kept, in characters. With [`MAX_KEPT`], it bounds the memory to about 1 MB.
const MAX_CHARS: usize = 300;

/// The last errors of requests. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RecentErrors(Arc<Mutex<VecDeque<RequestError>>>);

/// A log line about the error of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestError {
    /// Time of the line.
    pub at: Timestamp,
    /// Method of the request.
    pub method: String,
    /// Route of the request.
    pub route: String,
    /// Status of the response.
    pub status: String,
    /// Id of the request in the response and in the log.
    pub request_id: String,
    /// The message with the remaining fields. The path of the request may hold a secret, so it is not among them.
    pub line: String,
}

impl RecentErrors {
    /// Keeps `error`, and forgets the oldest if there are too many.
    pub fn record(&self, mut error: RequestError) {
        for text in [
            &mut error.method,
            &mut error.route,
            &mut error.status,
            &mut error.request_id,
            &mut error.line,
        ] {
            if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
                text.truncate(end);
                text.push('…');
            }
        }
        let mut kept = self.lock();
        if kept.len() == MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(error);
    }

    /// Returns the last errors of `route`, latest first.
    pub(crate) fn of(&self, route: &str) -> Vec<RequestError> {
        let kept = self.lock();
        let latest_first = kept.iter().rev().filter(|error| error.route == route);
        latest_first.take(MAX_SHOWN).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RequestError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestError {
    /// Returns the time of day.
    pub(crate) fn time(&self) -> String {
        self.at.strftime("%H:%M:%S").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_of_a_route_are_kept_latest_first_and_bounded() {
        let errors = RecentErrors::default();
        for number in 0..2 * MAX_KEPT {
            errors.record(RequestError {
                route: if number % 2 == 0 { "/a" } else { "/b" }.into(),
                request_id: number.to_string(),
                line: "é".repeat(2 * MAX_CHARS),
                ..RequestError::default()
            });
        }
        assert_eq!(errors.lock().len(), MAX_KEPT);
        let found = errors.clone().of("/a");
        let ids: Vec<_> = found.iter().map(|error| &*error.request_id).collect();
        assert_eq!((ids.len(), ids[0], ids[1]), (MAX_SHOWN, "998", "996"));
        assert_eq!(found[0].line.chars().count(), MAX_CHARS + 1);
        assert_eq!(errors.of("/c"), []);
    }
}
