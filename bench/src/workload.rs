//! Requests to the items API.

use ::http::StatusCode;
use testkit::{http, load::Planned};

/// Items on a page.
pub const ROWS: usize = 20;
/// Number of the pages in [`Workload::Pages`].
const PAGES: i64 = 64;
/// A new item.
pub const CREATE: &str = r#"{"name":"measured"}"#;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// `GET /`
    Show,
    /// `GET /items`, the first page of [`ROWS`]
    List,
    /// `GET /items`, pages spread over a table of so many items
    Pages(i64),
    /// `POST /items`
    Create,
    /// A mix of all three like the reference's traffic: 60 %, 25 % and 15 %
    Mixed,
}

impl Workload {
    /// The kinds that contenders are compared by.
    pub const ALL: [Self; 4] = [Self::Show, Self::List, Self::Create, Self::Mixed];
    /// Twenty requests, spread evenly.
    const MIX: [Self; 20] = {
        use Workload::{Create as C, List as L, Show as S};
        [S, L, S, C, S, S, L, S, S, L, S, C, S, S, L, S, S, C, S, L]
    };

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Show => "`GET /`",
            Self::List => "`GET /items`, 20 rows",
            Self::Pages(_) => "`GET /items` all over the table",
            Self::Create => "`POST /items`",
            Self::Mixed => "mixed 60/25/15",
        }
    }

    /// Returns its requests, to be sent in turn.
    pub fn requests(self) -> Vec<Planned> {
        match self {
            Self::Show => vec![get("/")],
            Self::List => vec![page(0)],
            Self::Pages(items) => (0..PAGES)
                .map(|index| page(index * items / PAGES))
                .collect(),
            Self::Create => {
                let request = http::json("POST /items", CREATE);
                vec![Planned::new(&request, "/items").expecting(StatusCode::CREATED)]
            }
            Self::Mixed => Self::MIX.into_iter().flat_map(Self::requests).collect(),
        }
    }
}

/// Returns the plan that sends `requests` in turn, again and again.
pub fn in_turn(requests: Vec<Planned>) -> impl Fn(usize) -> Planned + Clone {
    move |index| requests[index % requests.len()].clone()
}

fn page(after: i64) -> Planned {
    get(&format!("/items?limit={ROWS}&after={after}"))
}

fn get(target: &str) -> Planned {
    let request = http::empty(http::request(&format!("GET {target}")));
    Planned::new(&request, "").expecting(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_sixty_twenty_five_and_fifteen_percent() {
        let share = |kind| {
            let requests = Workload::MIX.iter().filter(|mixed| **mixed == kind);
            100 * requests.count() / Workload::MIX.len()
        };
        let shares = [Workload::Show, Workload::List, Workload::Create].map(share);
        assert_eq!(shares, [60, 25, 15]);
    }
}
