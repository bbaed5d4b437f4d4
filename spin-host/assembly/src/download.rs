//! Downloads of Wasm files, kept by their digests: a file is fetched once.

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::{io::Write, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use url::Url;

/// Largest file, in bytes.
const MAX_SIZE: usize = 256 << 20;
/// Most redirects on the way to a file, as browsers follow them.
const MAX_REDIRECTS: usize = 20;
/// Longest wait for a connection, and for each next part of a response.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names a file with further certificate authorities, as OpenSSL and curl read it.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// Returns the file with the SHA-256 `sha256` from the folder `kept`, or from `url`. It is kept if it has that digest.
///
/// # Errors
/// Fails if the file cannot be fetched whole, has another digest, or cannot be kept.
pub(crate) async fn fetch(url: &str, sha256: &str, kept: &Path) -> Result<Vec<u8>> {
    let path = kept.join(format!("{sha256}.wasm"));
    if let Ok(wasm) = tokio::fs::read(&path).await {
        if digest(&wasm) == sha256 {
            return Ok(wasm);
        }
        tracing::warn!("{} is damaged; downloading it again", path.display());
    }
    tracing::info!(url, "downloading");
    let wasm = download(Url::parse(url)?).await?;
    let actual = digest(&wasm);
    ensure!(
        actual == sha256,
        "the file there has the digest sha256:{actual}, and the manifest wants sha256:{sha256}"
    );
    keep(&wasm, kept, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(wasm)
}

fn digest(wasm: &[u8]) -> String {
    let digest = Sha256::digest(wasm);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the file under another name first: whoever finds it finds it whole.
fn keep(wasm: &[u8], folder: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(wasm)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Fetches a file, and follows redirects to it.
async fn download(mut url: Url) -> Result<Vec<u8>> {
    for _ in 0..=MAX_REDIRECTS {
        let response = request(&url)
            .await
            .with_context(|| format!("no response from {url}"))?;
        let status = response.status();
        let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        match response.headers().get(header::LOCATION) {
            Some(location) if is_redirect => {
                let location = location.to_str().context("the redirect leads nowhere")?;
                url = url.join(location).context("the redirect leads nowhere")?;
            }
            _ if status == StatusCode::OK => return body(response).await,
            _ => bail!("{url} answers {status}"),
        }
    }
    bail!("more than {MAX_REDIRECTS} redirects");
}

async fn body(response: Response<Incoming>) -> Result<Vec<u8>> {
    let mut body = response.into_body();
    let mut wasm = Vec::new();
    while let Some(frame) = timeout(PATIENCE, body.frame())
        .await
        .context("the server fell silent")?
    {
        if let Ok(data) = frame.context("the connection was cut")?.into_data() {
            ensure!(
                wasm.len() + data.len() <= MAX_SIZE,
                "larger than {} MiB",
                MAX_SIZE >> 20
            );
            wasm.extend_from_slice(&data);
        }
    }
    Ok(wasm)
}

/// Sends a GET request and returns the head of the response, before its body.
async fn request(url: &Url) -> Result<Response<Incoming>> {
    let is_tls = match url.scheme() {
        "https" => true,
        "http" => false,
        other => bail!("{other} is neither http nor https"),
    };
    let host = url.host_str().context("no host")?;
    let port = url.port_or_known_default().context("no port")?;
    // A resolver wants an IPv6 address without its brackets.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = timeout(PATIENCE, TcpStream::connect((name, port)));
    let stream = stream.await.context("no connection in time")??;
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(
            header::USER_AGENT,
            concat!("metrics-host/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::new())?;
    if !is_tls {
        return send(stream, request).await;
    }
    let connector = TlsConnector::from(Arc::new(tls()?));
    let name = ServerName::try_from(name.to_owned())?;
    let stream = timeout(PATIENCE, connector.connect(name, stream));
    send(stream.await.context("no TLS in time")??, request).await
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the response, or with the sender that is dropped.
    tokio::spawn(connection);
    let response = timeout(PATIENCE, sender.send_request(request));
    Ok(response.await.context("no answer in time")??)
}

/// Trusts Mozilla's authorities, and those that the environment names.
fn tls() -> Result<ClientConfig> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    if let Some(path) = std::env::var_os(AUTHORITIES) {
        let unreadable = || format!("{AUTHORITIES}: cannot read {}", Path::new(&path).display());
        for certificate in CertificateDer::pem_file_iter(&path).with_context(unreadable)? {
            roots.add(certificate.with_context(unreadable)?)?;
        }
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const WASM: &[u8] = b"\0asm and more";

    /// Answers each connection by `answer` of its path. Returns the URL and the number of connections so far.
    async fn server(answer: fn(&str) -> String) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap();
                stream.write_all(answer(path).as_bytes()).await.unwrap();
            }
        });
        (url, connections)
    }

    fn ok(length: usize) -> String {
        let body = String::from_utf8_lossy(WASM);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
    }

    fn answer(path: &str) -> String {
        match path {
            "/c.wasm?v=1" => ok(WASM.len()),
            "/cut" => ok(WASM.len() + 1),
            "/moved/here" => "HTTP/1.1 302 Found\r\nlocation: ../c.wasm?v=1\r\n\r\n".to_owned(),
            "/loop" => "HTTP/1.1 302 Found\r\nlocation: /loop\r\n\r\n".to_owned(),
            "/ftp" => "HTTP/1.1 302 Found\r\nlocation: ftp://127.0.0.1/\r\n\r\n".to_owned(),
            _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_file_is_fetched_once_and_again_if_it_is_damaged() {
        let (url, connections) = server(answer).await;
        let url = format!("{url}/moved/here");
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("new");
        let sha256 = digest(WASM);
        let (one, other) = tokio::join!(fetch(&url, &sha256, &kept), fetch(&url, &sha256, &kept));
        assert_eq!(
            (one.unwrap().as_slice(), other.unwrap().as_slice()),
            (WASM, WASM)
        );
        assert_eq!(
            fetch("http://127.0.0.1:1/", &sha256, &kept).await.unwrap(),
            WASM
        );
        assert_eq!(connections.load(Ordering::Relaxed), 4);
        let files: Vec<_> = std::fs::read_dir(&kept).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let path = files[0].as_ref().unwrap().path();
        std::fs::write(&path, &WASM[1..]).unwrap();
        assert_eq!(fetch(&url, &sha256, &kept).await.unwrap(), WASM);
        assert_eq!(std::fs::read(&path).unwrap(), WASM);
    }

    #[tokio::test]
    async fn what_is_not_the_file_is_an_error_and_is_not_kept() {
        let (url, _) = server(answer).await;
        let directory = tempfile::tempdir().unwrap();
        let other = digest(b"other");
        for (path, expected) in [
            (
                "/c.wasm?v=1",
                format!(
                    "sha256:{}, and the manifest wants sha256:{other}",
                    digest(WASM)
                ),
            ),
            ("/cut", "the connection was cut".to_owned()),
            ("/missing", "/missing answers 404 Not Found".to_owned()),
            ("/loop", "more than 20 redirects".to_owned()),
            ("/ftp", "neither http nor https".to_owned()),
        ] {
            let error = fetch(&format!("{url}{path}"), &other, directory.path())
                .await
                .unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(&expected), "{error}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let error = fetch("http://127.0.0.1:1/", &other, directory.path())
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("refused"), "{error:#}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_kept_is_an_error() {
        let (url, _) = server(answer).await;
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("file");
        std::fs::write(&kept, "").unwrap();
        let error = fetch(&format!("{url}/c.wasm?v=1"), &digest(WASM), &kept)
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("cannot write"), "{error:#}");
    }
}
