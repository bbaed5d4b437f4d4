//! The servers that components connect to: Redis, PostgreSQL and Mosquitto of this machine, and echoes.

use crate::stack::free_address;
use axum::{Router, body::Bytes};
use rustix::process::geteuid;
use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
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

/// PostgreSQL with a database of its own.
pub(crate) struct Postgres {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    pub(crate) process: Process,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let process = start(new_postgres_server(directory.path(), address), address).await;
        ready(&process).await;
        Self {
            address,
            directory,
            process,
        }
    }

    /// Ends it by a signal, waits, and starts it again.
    pub(crate) async fn restart(&mut self, signal: Signal, pause: Duration) {
        self.process.signal(signal).unwrap();
        self.process.end(START).await.unwrap();
        tokio::time::sleep(pause).await;
        let command = postgres_server(self.directory.path(), self.address);
        self.process = start(command, self.address).await;
        ready(&self.process).await;
    }

    /// Starts it again with TLS, and returns the certificate of its authority.
    pub(crate) async fn secure(&mut self) -> String {
        let script = "set -e
            key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
            openssl req -x509 $key -subj /CN=authority -days 2 -keyout ca.key -out ca.pem
            openssl req -new $key -subj /CN=server -keyout server.key -out server.csr
            echo subjectAltName=IP:127.0.0.1 > names
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
            chmod 600 server.key
            [ $(id -u) != 0 ] || chown postgres server.key server.pem";
        let made = Command::new("bash")
            .args(["-c", script])
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        self.process.signal(Signal::INT).unwrap();
        self.process.end(START).await.unwrap();
        let mut command = postgres_server(self.directory.path(), self.address);
        for (name, file) in [
            ("ssl_cert_file", "server.pem"),
            ("ssl_key_file", "server.key"),
        ] {
            let file = self.directory.path().join(file);
            command.arg("-c").arg(format!("{name}={}", file.display()));
        }
        command.args(["-c", "ssl=on"]);
        self.process = start(command, self.address).await;
        ready(&self.process).await;
        fs::read_to_string(self.directory.path().join("ca.pem")).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:postgres@{}/postgres", self.address)
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

/// Returns the folder of the newest PostgreSQL.
fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("run `make setup-services`");
    let versions = versions.map(|version| version.unwrap().path().join("bin"));
    let installed = versions.filter(|programs| programs.join("postgres").exists());
    installed.max().expect("run `make setup-services`")
}

fn as_postgres(program: &str) -> Command {
    not_as_root(postgres_programs().join(program))
}

/// PostgreSQL and PgBouncer refuse to be root.
fn not_as_root(program: impl AsRef<OsStr>) -> Command {
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
