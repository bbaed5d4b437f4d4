//! `metrics-host health`: the health check of a container that has no other tool.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest part of a response that is shown, in bytes.
const MAX_ANSWER: usize = 4 << 10;

/// Succeeds if the URL answers 2xx.
///
/// # Errors
/// If it answers otherwise or not at all.
pub(crate) async fn run(url: &Uri) -> Result<()> {
    let asked = tokio::time::timeout(TIMEOUT, ask(url)).await;
    asked
        .with_context(|| format!("{url} did not answer within {TIMEOUT:?}"))?
        .with_context(|| format!("cannot ask {url}"))
}

async fn ask(uri: &Uri) -> Result<()> {
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
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        if !status.is_success() {
            bail!("it answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    };
    tokio::select! {
        result = exchange => result,
        result = connection => bail!("the connection ended: {result:?}"),
    }
}
