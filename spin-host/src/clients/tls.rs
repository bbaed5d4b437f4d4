//! TLS to databases: certificates of public authorities, of those that the machine trusts, and of one that a guest gives.

use super::Metered;
use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_rustls::{
    TlsConnector, client,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// TLS for one server.
pub(crate) struct TlsClient {
    name: String,
    root: Option<String>,
}

/// A connection with TLS.
pub(crate) struct TlsStream(client::TlsStream<Metered>);

impl TlsClient {
    /// The server's certificate must be for `name`. Its authority may be one in `root`, in PEM.
    pub(crate) fn new(name: &str, root: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            root: root.map(str::to_owned),
        }
    }

    /// Makes sure of the server.
    ///
    /// # Errors
    /// Fails if the server is not trusted, and if the name or the certificates are malformed.
    pub(crate) async fn handshake(self, stream: Metered) -> io::Result<TlsStream> {
        let mut roots = machine_roots().clone();
        if let Some(root) = &self.root {
            for certificate in certificates(root).map_err(io::Error::other)? {
                roots.add(certificate).map_err(io::Error::other)?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(TlsStream(connecting.await?))
    }
}

/// Reads certificates in PEM.
///
/// # Errors
/// Fails if there is no certificate, or a malformed one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("no certificate in PEM".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}

fn machine_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        // An image without certificates is no error: the public authorities are built in.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

impl TlsConnect<Metered> for TlsClient {
    type Stream = TlsStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsStream>> + Send>>;

    fn connect(self, stream: Metered) -> Self::Future {
        Box::pin(self.handshake(stream))
    }
}

impl tokio_postgres::tls::TlsStream for TlsStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
