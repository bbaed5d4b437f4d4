//! The requests and the range that a page shows, as its query says.

use super::history::Place;
use std::{collections::HashMap, time::Duration};

/// The content of a page, as far as a reader chooses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub(super) scope: Scope,
    pub(super) range: Range,
    /// Whether the page does not update itself.
    pub(super) paused: bool,
}

/// Restricts requests by their labels; `None` allows every value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) application: Option<String>,
    pub(super) component: Option<String>,
    /// Without it, requests to health checks and `/metrics` do not count, as in the alerts.
    pub(super) endpoint: Option<String>,
}

/// The time before now that charts and recent numbers cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Range {
    FiveMinutes,
    #[default]
    QuarterHour,
    Hour,
    SixHours,
}

impl Range {
    pub(super) const ALL: [Self; 4] = [
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
        Self::SixHours,
    ];

    pub(super) fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::FiveMinutes => 5 * 60,
            Self::QuarterHour => 15 * 60,
            Self::Hour => 60 * 60,
            Self::SixHours => 6 * 60 * 60,
        })
    }

    /// Returns the name in the query, which is also a duration of Prometheus.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
        }
    }

    /// Returns the name for people.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5\u{a0}min",
            Self::QuarterHour => "15\u{a0}min",
            Self::Hour => "1\u{a0}h",
            Self::SixHours => "6\u{a0}h",
        }
    }
}

impl View {
    /// Reads the query of a URL. Unknown parameters and values are ignored.
    pub fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut pairs: HashMap<_, _> = pairs.collect();
        let range = pairs.get("range").and_then(|name| {
            let mut all = Range::ALL.into_iter();
            all.find(|range| range.name() == name)
        });
        Self {
            paused: pairs.get("refresh").is_some_and(|refresh| refresh == "off"),
            range: range.unwrap_or_default(),
            scope: Scope {
                application: pairs.remove("application"),
                component: pairs.remove("component"),
                endpoint: pairs.remove("endpoint"),
            },
        }
    }

    /// Returns the path and query of this view.
    pub(super) fn url(&self) -> String {
        let Scope {
            application,
            component,
            endpoint,
        } = &self.scope;
        let path = match endpoint {
            Some(_) => "/endpoint?",
            None => "/?",
        };
        let mut url = form_urlencoded::Serializer::for_suffix(path.to_owned(), path.len());
        for (name, value) in [
            ("application", application),
            ("component", component),
            ("endpoint", endpoint),
        ] {
            if let Some(value) = value {
                url.append_pair(name, value);
            }
        }
        if self.range != Range::default() {
            url.append_pair("range", self.range.name());
        }
        if self.paused {
            url.append_pair("refresh", "off");
        }
        let url = url.finish();
        url.strip_suffix('?').unwrap_or(&url).to_owned()
    }

    pub(super) fn over(&self, range: &Range) -> Self {
        Self {
            range: *range,
            ..self.clone()
        }
    }

    pub(super) fn paused(&self, paused: bool) -> Self {
        Self {
            paused,
            ..self.clone()
        }
    }

    /// Returns the same view of other requests.
    pub(super) fn of(
        &self,
        application: Option<&str>,
        component: Option<&str>,
        endpoint: Option<&str>,
    ) -> Self {
        let scope = Scope {
            application: application.map(str::to_owned),
            component: component.map(str::to_owned),
            endpoint: endpoint.map(str::to_owned),
        };
        Self {
            scope,
            ..self.clone()
        }
    }
}

impl Scope {
    /// Returns whether requests to `place` are shown.
    pub(super) fn has(&self, place: &Place) -> bool {
        let allows =
            |allowed: &Option<String>, value: &str| allowed.as_ref().is_none_or(|it| it == value);
        allows(&self.application, &place.component.application)
            && allows(&self.component, &place.component.component)
            && allows(&self.endpoint, &place.endpoint)
    }

    /// Returns whether requests to `place` are in the charts.
    pub(super) fn charts(&self, place: &Place) -> bool {
        self.has(place) && (self.endpoint.is_some() || place.is_user_facing())
    }

    /// Returns the matchers that select the same requests in Prometheus.
    pub(super) fn matchers(&self) -> String {
        let mut matchers = Vec::new();
        for (label, value) in [
            ("application", &self.application),
            ("component", &self.component),
            ("endpoint", &self.endpoint),
        ] {
            if let Some(value) = value {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                matchers.push(format!("{label}=\"{value}\""));
            }
        }
        if self.endpoint.is_none() {
            matchers.push("endpoint!~\"/(metrics|health/.*)\"".into());
        }
        matchers.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_read_from_its_own_url() {
        for url in [
            "/",
            "/?application=shop",
            "/?application=shop&component=carts&range=6h&refresh=off",
            "/endpoint?application=&component=c&endpoint=%2Fitems%2F%7Bid%7D%3F%26",
        ] {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            assert_eq!(View::parse(query).url(), url);
        }
        let odd = View::parse("range=7h&refresh=on&other=1");
        assert_eq!(odd, View::default());
    }

    #[test]
    fn matchers_leave_out_health_checks_unless_an_endpoint_is_chosen() {
        let view = View::parse("application=a%22b&endpoint=%2Fhealth%2Flive");
        let expected = r#"application="a\"b",endpoint="/health/live""#;
        assert_eq!(view.scope.matchers(), expected);
        let all = View::default().scope.matchers();
        assert_eq!(all, r#"endpoint!~"/(metrics|health/.*)""#);
    }
}
