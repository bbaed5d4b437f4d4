//! What the items API is asked.

use crate::generator::Request;
use std::net::SocketAddr;

/// Items on a page.
pub const ROWS: usize = 20;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// `GET /`
    Show,
    /// `GET /items`, a page of [`ROWS`]
    List,
    /// `POST /items`
    Create,
    /// All three as the reference's traffic has them: 60, 25 and 15 of a hundred.
    Mixed,
}

impl Workload {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Show, Self::List, Self::Create, Self::Mixed];
    /// In twenty requests, spread evenly.
    const MIXED: [Self; 20] = {
        use Workload::{Create as C, List as L, Show as S};
        [S, L, S, C, S, S, L, S, S, L, S, C, S, S, L, S, S, C, S, L]
    };

    /// Returns what tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Show => "`GET /`",
            Self::List => "`GET /items`, 20 rows",
            Self::Create => "`POST /items`",
            Self::Mixed => "mixed 60/25/15",
        }
    }

    /// Returns its requests to `address`, to be sent again and again.
    pub fn requests(self, address: SocketAddr) -> Vec<Request> {
        match self {
            Self::Mixed => Self::MIXED
                .into_iter()
                .flat_map(|kind| kind.requests(address))
                .collect(),
            Self::Show => vec![get("/", address)],
            Self::List => vec![page(0, address)],
            Self::Create => {
                let body = r#"{"name":"measured"}"#;
                let head = format!(
                    "POST /items HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                vec![Request {
                    bytes: (head + body).into_bytes(),
                    status: 201,
                }]
            }
        }
    }
}

/// Returns a request for the items after the id `after`.
pub(crate) fn page(after: i64, address: SocketAddr) -> Request {
    let after = if after == 0 {
        String::new()
    } else {
        format!("&after={after}")
    };
    get(&format!("/items?limit={ROWS}{after}"), address)
}

fn get(target: &str, address: SocketAddr) -> Request {
    Request {
        bytes: format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(),
        status: 200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_sixty_twenty_five_and_fifteen_of_a_hundred() {
        let share = |kind| {
            let count = Workload::MIXED.iter().filter(|mixed| **mixed == kind);
            100 * count.count() / Workload::MIXED.len()
        };
        let shares = [Workload::Show, Workload::List, Workload::Create].map(share);
        assert_eq!(shares, [60, 25, 15]);
    }
}
