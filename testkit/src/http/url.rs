//! Base URLs, as a person types them.

use ::http::Uri;
use anyhow::{Context, Error, Result, ensure};
use std::{fmt, str::FromStr};

/// Where a server is: `http://host:port`, with a path before all of its own if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    authority: String,
    path: String,
}

impl Url {
    /// Returns the URL of a server at `host:port`.
    pub fn at(authority: impl ToString) -> Self {
        Self {
            authority: authority.to_string(),
            path: String::new(),
        }
    }

    /// Returns `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the request target of `path`.
    pub fn target(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let uri = text.parse::<Uri>();
        let uri = uri.with_context(|| format!("not a URL: {text:?}"))?;
        ensure!(
            uri.scheme_str() == Some("http") && uri.query().is_none(),
            "expected http://host:port, found {text:?}"
        );
        let host = uri.host().with_context(|| format!("no host in {text:?}"))?;
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self {
            authority: format!("{host}:{port}"),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_keeps_its_path() {
        let url: Url = "http://localhost:9090/prometheus/".parse().unwrap();
        assert_eq!(url.to_string(), "http://localhost:9090/prometheus");
        assert_eq!(url.target("/-/ready"), "/prometheus/-/ready");
        let url: Url = "http://example.org".parse().unwrap();
        assert_eq!(url.authority(), "example.org:80");
        assert_eq!(url.target("/"), "/");
    }

    #[test]
    fn a_text_that_is_no_base_url_is_named() {
        for text in [
            "localhost:8080",
            "https://localhost",
            "/items",
            "http://a/?b",
            "",
        ] {
            let error = text.parse::<Url>().unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
