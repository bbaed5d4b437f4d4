//! Addresses that a page may link to.

use http::Uri;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Bytes of the longest.
const LONGEST: usize = 2000;

/// An absolute URL of `http` or `https`: a browser that follows it opens a page, and runs nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebUrl(String);

/// A text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as http://127.0.0.1:9090 or https://grafana.example.com/path")]
pub struct ParseWebUrlError;

impl FromStr for WebUrl {
    type Err = ParseWebUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| ParseWebUrlError)?;
        // A name or password in a link would be shown to all who see the page.
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let has_host = authority.is_some_and(|authority| !authority.contains('@'))
            && uri.host().is_some_and(|host| !host.is_empty());
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        (is_web && has_host && text.len() <= LONGEST)
            .then(|| Self(text.to_owned()))
            .ok_or(ParseWebUrlError)
    }
}

impl TryFrom<String> for WebUrl {
    type Error = ParseWebUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> Self {
        url.0
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_urls_of_the_web_are_taken() {
        for url in [
            "http://127.0.0.1:9090",
            "https://grafana.example.com/d/app-overview?viewPanel=2&from=now-1h",
            "http://[::1]:3000/",
        ] {
            assert_eq!(url.parse::<WebUrl>().unwrap().to_string(), url);
        }
        let long = format!("http://a/{}", "b".repeat(LONGEST));
        for other in [
            "",
            "/d/app-overview",
            "127.0.0.1:9090",
            "ftp://a/",
            "javascript:alert(1)",
            "javascript://a/%0aalert(1)",
            "data:text/html,x",
            "http://",
            "http:///path",
            "http://a b/",
            "http://me@a/",
            &long,
        ] {
            assert_eq!(other.parse::<WebUrl>(), Err(ParseWebUrlError), "{other}");
        }
    }
}
