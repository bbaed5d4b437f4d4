//! A network that loses every third reply: a relay between a sender and its receiver.

use anyhow::Result;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use testkit::port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One in so many replies is lost.
const EVERY: usize = 3;

/// A running relay; it ends when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Passes connections on to `receiver`.
    pub(crate) async fn start(receiver: SocketAddr) -> Result<Self> {
        let address = port::free()?;
        let listener = TcpListener::bind(address).await?;
        let replies = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(async move {
            while let Ok((sender, _)) = listener.accept().await {
                let replies = Arc::clone(&replies);
                // Either side may close the connection.
                tokio::spawn(async move { _ = pass(sender, receiver, &replies).await });
            }
        });
        Ok(Self { address, accepting })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes bytes both ways, until a reply is to be lost: then both connections end.
async fn pass(
    mut sender: TcpStream,
    receiver: SocketAddr,
    replies: &AtomicUsize,
) -> io::Result<()> {
    let mut receiver = TcpStream::connect(receiver).await?;
    let (mut request, mut reply) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut is_first = true;
    loop {
        tokio::select! {
            read = sender.read(&mut request) => match read? {
                0 => return Ok(()),
                length => {
                    is_first = true;
                    receiver.write_all(&request[..length]).await?;
                }
            },
            read = receiver.read(&mut reply) => match read? {
                0 => return Ok(()),
                length => {
                    if is_first && (replies.fetch_add(1, Relaxed) + 1).is_multiple_of(EVERY) {
                        return Ok(());
                    }
                    is_first = false;
                    sender.write_all(&reply[..length]).await?;
                }
            },
        }
    }
}
