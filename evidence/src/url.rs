//! Base URLs, as a person types them, and what is asked below them.

use anyhow::{Context, Error, Result, bail, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode, Uri};
use std::{fmt, str::FromStr, time::Duration};
use tokio::time::timeout;

use crate::connection::{Answer, Connection, request};

/// How long a server may take for one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Where a server is: `http://host:port`, perhaps with a path before all of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    authority: String,
    path: String,
}

impl BaseUrl {
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

    /// Asks for `path` over a connection of its own, whatever is answered.
    ///
    /// # Errors
    /// If nothing is answered.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.exchange(Method::GET, path, None).await
    }

    /// Asks for `path`, which has to be there.
    ///
    /// # Errors
    /// If anything but 200 is answered.
    pub async fn get_ok(&self, path: &str) -> Result<Answer> {
        let answer = self.get(path).await?;
        self.ok(path, answer)
    }

    /// Posts a form of `fields` to `path`, for queries longer than a URL may be.
    ///
    /// # Errors
    /// If anything but 200 is answered.
    pub async fn post_form(&self, path: &str, fields: &[(&str, String)]) -> Result<Answer> {
        let fields = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)));
        let form = fields.collect::<Vec<_>>().join("&");
        let body = Some(("application/x-www-form-urlencoded", Bytes::from(form)));
        let answer = self.exchange(Method::POST, path, body).await?;
        self.ok(path, answer)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Answer> {
        let url = format!("{self}{path}");
        let exchange = async {
            let mut connection = Connection::open(self).await?;
            connection
                .send(request(method, &self.target(path), body)?)
                .await
        };
        timeout(ANSWER, exchange)
            .await
            .with_context(|| format!("{url}: no answer within {ANSWER:?}"))?
            .with_context(|| url)
    }

    fn ok(&self, path: &str, answer: Answer) -> Result<Answer> {
        if answer.status != StatusCode::OK {
            bail!("{self}{path} answered {}: {}", answer.status, answer.text());
        }
        Ok(answer)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.path)
    }
}

impl FromStr for BaseUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let uri: Uri = text
            .parse()
            .with_context(|| format!("not a URL: {text:?}"))?;
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

/// Returns `text` as a form has it.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_keeps_its_path() {
        let url: BaseUrl = "http://localhost:9090/prometheus/".parse().unwrap();
        assert_eq!(url.to_string(), "http://localhost:9090/prometheus");
        assert_eq!(url.target("/-/ready"), "/prometheus/-/ready");
        let url: BaseUrl = "http://example.org".parse().unwrap();
        assert_eq!(url.authority(), "example.org:80");
        assert_eq!(url.target("/"), "/");
    }

    #[test]
    fn what_is_no_base_url_is_named() {
        for text in [
            "localhost:8080",
            "https://localhost",
            "/items",
            "http://a/?b",
            "",
        ] {
            let error = text.parse::<BaseUrl>().unwrap_err();
            assert!(
                format!("{error:#}").contains(&format!("{text:?}")),
                "{error:#}"
            );
        }
    }

    #[test]
    fn a_query_survives_a_form() {
        assert_eq!(encode("a=~\"é\" + 1"), "a%3D~%22%C3%A9%22%20%2B%201");
    }
}
