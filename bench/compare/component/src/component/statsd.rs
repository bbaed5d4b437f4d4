//! A datagram for each request, to StatsD.

use super::Counter;
use bytes::Bytes;
use http::{Request, StatusCode};
use spin_sdk::http::FullBody;
use std::{net::UdpSocket, sync::OnceLock};

/// A socket, and the application's name.
pub(super) struct Sent {
    application: String,
    socket: UdpSocket,
}

impl Sent {
    pub(super) fn of(application: &str, receiver: &str) -> &'static Self {
        static SENT: OnceLock<Sent> = OnceLock::new();
        SENT.get_or_init(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("allowed in spin.toml");
            socket.connect(receiver).expect("allowed in spin.toml");
            Self {
                application: application.into(),
                socket,
            }
        })
    }
}

impl Counter for Sent {
    fn add(&self, status: StatusCode) {
        let line = format!("{}.requests.{}:1|c", self.application, status.as_u16());
        if let Err(error) = self.socket.send(line.as_bytes()) {
            eprintln!("statsd: {error}");
        }
    }

    fn report(&self) -> Option<Request<FullBody<Bytes>>> {
        None
    }
}
