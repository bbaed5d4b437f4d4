//! `metrics-host health`: a health check for containers without other tools.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest body that an error message shows, in bytes.
const MAX_BODY: usize = 4 << 10;

/// Succeeds if a GET of `url` returns 2xx.
///
/// # Errors
/// Fails on any other status, or without a response.
pub(crate) async fn run(url: &Uri) -> Result<()> {
    let checked = tokio::time::timeout(TIMEOUT, check(url)).await;
    checked
        .with_context(|| format!("{url} did not respond within {TIMEOUT:?}"))?
        .with_context(|| format!("cannot check {url}"))
}

async fn check(uri: &Uri) -> Result<()> {
    let authority = uri
        .authority()
        .context("expected a URL such as http://127.0.0.1:9464/-/ready")?;
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host().trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(uri.path())
        .header(header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        if !status.is_success() {
            bail!("status {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    };
    tokio::select! {
        result = exchange => result,
        result = connection => bail!("the connection ended: {result:?}"),
    }
}
