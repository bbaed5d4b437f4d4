//! Stand-ins for Slack, PagerDuty and a mail server: they accept the messages of Alertmanager and pass them to a test.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Time that a notification may take.
const REACTION: Duration = Duration::from_secs(60);

/// A server on a free port of the loopback, and the messages it has received.
pub(crate) struct Sink<T> {
    pub(crate) address: SocketAddr,
    received: Receiver<T>,
}

/// A POST.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// A mail.
#[derive(Debug)]
pub(crate) struct Mail {
    /// Credentials of the sender: base64 of `\0name\0password`.
    pub(crate) credentials: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Head and body.
    pub(crate) text: String,
}

impl<T: Send + 'static> Sink<T> {
    /// Accepts one connection after the other; `serve` returns the message that came over it.
    fn start(serve: fn(TcpStream) -> Option<T>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                connection.set_read_timeout(Some(REACTION)).unwrap();
                if let Some(message) = serve(connection)
                    && sender.send(message).is_err()
                {
                    return;
                }
            }
        });
        Self { address, received }
    }

    /// Waits for the next message.
    pub(crate) fn next(&self) -> T {
        let next = self.received.recv_timeout(REACTION);
        next.unwrap_or_else(|error| panic!("{}: no message came: {error}", self.address))
    }
}

impl Sink<Post> {
    /// Answers 202 to every POST of JSON.
    pub(crate) fn http() -> Self {
        Self::start(|connection| {
            let mut reader = BufReader::new(&connection);
            let line = line(&mut reader)?;
            let path = line.split(' ').nth(1)?.to_owned();
            let mut length = 0;
            loop {
                let header = self::line(&mut reader)?.to_lowercase();
                if header.is_empty() {
                    break;
                }
                if let Some(value) = header.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer =
                b"HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            (&connection).write_all(answer).unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            Some(Post { path, body })
        })
    }
}

impl Sink<Mail> {
    /// Accepts mail from senders that authenticate with `AUTH PLAIN`.
    pub(crate) fn smtp() -> Self {
        Self::start(|connection| {
            let mut reader = BufReader::new(&connection);
            let say = |answer: &str| (&connection).write_all(answer.as_bytes()).unwrap();
            let mut mail = Mail {
                credentials: String::new(),
                from: String::new(),
                to: String::new(),
                text: String::new(),
            };
            say("220 sink ESMTP\r\n");
            loop {
                let command = line(&mut reader)?;
                let argument = |prefix| command.strip_prefix(prefix).map(str::to_owned);
                if command.starts_with("EHLO") {
                    say("250-sink\r\n250 AUTH PLAIN\r\n");
                } else if let Some(credentials) = argument("AUTH PLAIN ") {
                    mail.credentials = credentials;
                    say("235 authenticated\r\n");
                } else if mail.credentials.is_empty() {
                    say("530 authenticate first\r\n");
                } else if let Some(from) = argument("MAIL FROM:") {
                    mail.from = from;
                    say("250 ok\r\n");
                } else if let Some(to) = argument("RCPT TO:") {
                    mail.to = to;
                    say("250 ok\r\n");
                } else if command == "DATA" {
                    say("354 go on\r\n");
                    loop {
                        let line = line(&mut reader)?;
                        if line == "." {
                            break;
                        }
                        mail.text += &line;
                        mail.text.push('\n');
                    }
                    say("250 taken\r\n");
                } else if command == "QUIT" {
                    say("221 bye\r\n");
                    return Some(mail);
                } else {
                    say("502 not understood\r\n");
                }
            }
        })
    }
}

/// Returns the next line without its end, or `None` once the connection is closed.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).unwrap();
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
