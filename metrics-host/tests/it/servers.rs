//! The servers that components connect to: Redis, PostgreSQL and Mosquitto of this machine, and echoes.

use crate::stack::free_address;
use axum::{Router, body::Bytes};
use rustix::process::geteuid;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    postgres::{Postgres, not_as_root},
    process::{Process, Signal},
    wait::{Seen, Wait},
};
use tokio::{
    io,
    net::{TcpListener, TcpStream},
};

/// Time for the start of a server.
const START: Duration = Duration::from_secs(60);

/// Servers that end when this is dropped.
pub(crate) struct Servers {
    /// Names in the text of a case, such as `{redis}`, and the ports that they stand for.
    ports: Vec<(&'static str, u16)>,
    pub(crate) mqtt: Process,
    _redis: Process,
    _postgres: Postgres,
    _directory: TempDir,
}

impl Servers {
    /// Starts all of them.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [redis, mqtt] = [(); 2].map(|()| free_address());
        let (redis_process, postgres, mqtt_process) = tokio::join!(
            start(redis_server(redis), redis),
            Postgres::volatile(),
            start(mosquitto(directory.path(), mqtt), mqtt),
        );
        let postgres = postgres.unwrap();
        Self {
            ports: vec![
                ("{redis}", redis.port()),
                ("{postgres}", postgres.address.port()),
                ("{mqtt}", mqtt.port()),
                ("{tcp}", tcp_echo().await),
                ("{http}", http_echo().await),
            ],
            mqtt: mqtt_process,
            _redis: redis_process,
            _postgres: postgres,
            _directory: directory,
        }
    }

    /// Returns `text` with the ports of the servers.
    pub(crate) fn address(&self, text: &str) -> String {
        let ports = self.ports.iter();
        ports.fold(text.to_owned(), |text, (name, port)| {
            text.replace(name, &port.to_string())
        })
    }
}

/// Starts PostgreSQL again with TLS, and returns the certificate of its authority.
pub(crate) async fn secure(postgres: &mut Postgres) -> String {
    let script = "set -e
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -subj /CN=authority -days 2 -keyout ca.key -out ca.pem
        openssl req -new $key -subj /CN=server -keyout server.key -out server.csr
        echo subjectAltName=IP:127.0.0.1 > names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
        chmod 600 server.key
        [ $(id -u) != 0 ] || chown postgres server.key server.pem";
    let directory = postgres.directory().to_owned();
    run(Command::new("bash")
        .args(["-c", script])
        .current_dir(&directory));
    let [certificate, key] =
        ["server.pem", "server.key"].map(|file| directory.join(file).display().to_string());
    let settings = [
        ("ssl", "on"),
        ("ssl_cert_file", &*certificate),
        ("ssl_key_file", &*key),
    ];
    let restarted = postgres.restart(Signal::INT, Duration::ZERO, &settings);
    restarted.await.unwrap();
    fs::read_to_string(directory.join("ca.pem")).unwrap()
}

/// Starts a server, and waits until it accepts connections.
pub(crate) async fn start(command: Command, address: SocketAddr) -> Process {
    let mut process = Process::start(command).unwrap();
    let connected = process.until(Wait::up_to(START), "a connection", async || {
        TcpStream::connect(address).await?;
        Ok(Seen::Yes(()))
    });
    connected.await.unwrap();
    process
}

pub(crate) fn redis_server(address: SocketAddr) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--port"]);
    command.arg(address.port().to_string());
    command
}

/// A broker that asks for a password.
pub(crate) fn mosquitto(directory: &Path, address: SocketAddr) -> Command {
    let (passwords, config) = (
        directory.join("passwords"),
        directory.join("mosquitto.conf"),
    );
    run(Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args(["user", "password"]));
    let text = format!(
        "listener {} 127.0.0.1\nallow_anonymous false\npassword_file {}\nlog_type all\nuser root\n",
        address.port(),
        passwords.display(),
    );
    fs::write(&config, text).unwrap();
    // Debian keeps servers where only root looks for them.
    let mut command = Command::new("/usr/sbin/mosquitto");
    command.arg("-c").arg(config);
    command
}

/// A PgBouncer in front of `postgres` that gives each transaction another connection, of few.
pub(crate) async fn pgbouncer(directory: &Path, postgres: &Postgres) -> (SocketAddr, Process) {
    let address = free_address();
    let (users, config) = (directory.join("users"), directory.join("pgbouncer.ini"));
    fs::write(&users, "\"postgres\" \"postgres\"\n").unwrap();
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
        unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
        default_pool_size = 4\nmax_client_conn = 400\n",
        postgres.address.port(),
        address.port(),
        users.display(),
    );
    fs::write(&config, text).unwrap();
    let mut command = not_as_root("/usr/sbin/pgbouncer");
    command.arg(&config);
    if geteuid().is_root() {
        run(Command::new("chown")
            .arg("postgres")
            .arg(directory)
            .args([&users, &config]));
    }
    (address, start(command, address).await)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Sends back the bytes of each connection.
async fn tcp_echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = connection.split();
                io::copy(&mut from, &mut to).await
            });
        }
    });
    port
}

/// Answers each request with its body.
async fn http_echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(async |body: Bytes| body);
    tokio::spawn(async { axum::serve(listener, router).await });
    port
}
