//! The servers that components connect to: Redis, PostgreSQL and Mosquitto of this machine, and echoes.

use crate::stack::free_address;
use axum::{Router, body::Bytes};
use rustix::process::geteuid;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    process::Process,
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
    _others: [Process; 2],
    _directory: TempDir,
}

impl Servers {
    /// Starts all of them.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [redis, postgres, mqtt] = [(); 3].map(|()| free_address());
        let processes = [
            start(redis_server(redis), redis),
            start(new_postgres_server(directory.path(), postgres), postgres),
            start(mosquitto(directory.path(), mqtt), mqtt),
        ];
        let [redis_process, postgres_process, mqtt_process] = processes;
        let (redis_process, postgres_process, mqtt_process) =
            tokio::join!(redis_process, postgres_process, mqtt_process);
        ready(&postgres_process).await;
        Self {
            ports: vec![
                ("{redis}", redis.port()),
                ("{postgres}", postgres.port()),
                ("{mqtt}", mqtt.port()),
                ("{tcp}", tcp_echo().await),
                ("{http}", http_echo().await),
            ],
            mqtt: mqtt_process,
            _others: [redis_process, postgres_process],
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

/// Waits until a PostgreSQL server answers; it accepts connections before.
pub(crate) async fn ready(postgres: &Process) {
    let ready = |line: &str| {
        let ready = line.contains("ready to accept connections");
        ready.then_some(())
    };
    let started = postgres.line("PostgreSQL to be ready", START, ready);
    started.await.unwrap();
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

/// Makes a database in `directory`.
pub(crate) fn new_postgres_server(directory: &Path, address: SocketAddr) -> Command {
    let (data, password) = (directory.join("postgres"), directory.join("password"));
    fs::write(&password, "postgres").unwrap();
    if geteuid().is_root() {
        run(Command::new("chown")
            .arg("postgres")
            .arg(directory)
            .arg(&password));
    }
    run(as_postgres("initdb")
        .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8"])
        .args(["--locale=C", "--username=postgres", "--pgdata"])
        .arg(&data)
        .arg("--pwfile")
        .arg(&password));
    postgres_server(directory, address)
}

/// A server of the database in `directory`.
pub(crate) fn postgres_server(directory: &Path, address: SocketAddr) -> Command {
    let mut command = as_postgres("postgres");
    command.arg("-D").arg(directory.join("postgres")).arg("-p");
    command.arg(address.port().to_string());
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    command.args(["-c", "unix_socket_directories="]);
    command
}

/// Returns the folder of the newest PostgreSQL.
fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("run `make setup-services`");
    let versions = versions.map(|version| version.unwrap().path().join("bin"));
    let installed = versions.filter(|programs| programs.join("postgres").exists());
    installed.max().expect("run `make setup-services`")
}

/// PostgreSQL refuses to be root.
fn as_postgres(program: &str) -> Command {
    let program = postgres_programs().join(program);
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.args(["--pdeathsig=KILL", "--"]).arg(program);
    command
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
