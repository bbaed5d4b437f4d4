//! Connections by hand, for what no client library sends.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// Longest wait for bytes.
const WAIT: Duration = Duration::from_secs(20);

/// A connection of a client that sends and reads bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Opens a connection and sends `bytes`.
    pub(crate) async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        raw.write(bytes).await;
        raw
    }

    /// Sends a request without a body that asks to close the connection; `line` is such as `GET /items`.
    pub(crate) async fn request(address: SocketAddr, line: &str) -> Self {
        let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        Self::send(address, head).await
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Ends the sending side and keeps reading.
    pub(crate) async fn end_sending(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads until the answer contains `text`, and returns the time that took.
    pub(crate) async fn read_until(&mut self, text: &str) -> (String, Duration) {
        let start = Instant::now();
        let mut read = Vec::new();
        let until = async {
            while !String::from_utf8_lossy(&read).contains(text) {
                let length = self.0.read_buf(&mut read).await.unwrap();
                assert_ne!(length, 0, "{:?}", String::from_utf8_lossy(&read));
            }
        };
        timeout(WAIT, until).await.unwrap();
        (String::from_utf8(read).unwrap(), start.elapsed())
    }

    /// Reads until the connection ends, however it does.
    pub(crate) async fn read(&mut self) -> String {
        let mut read = Vec::new();
        let all = async { while let Ok(1..) = self.0.read_buf(&mut read).await {} };
        timeout(WAIT, all).await.unwrap();
        String::from_utf8(read).unwrap()
    }
}
