//! A PostgreSQL of this machine, with a database of its own.

use crate::{
    port,
    process::{Process, Signal},
    wait::{Seen, Wait},
};
use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;
use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

/// Time for a start or an end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Folder of Debian's versions.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A server, which ends when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    /// Where it listens.
    pub address: SocketAddr,
    /// The server.
    pub process: Process,
    directory: TempDir,
    is_durable: bool,
}

impl Postgres {
    /// Starts a server whose commits survive its end, and not a power loss.
    ///
    /// # Errors
    /// If this machine has none, or it does not start.
    pub async fn volatile() -> Result<Self> {
        Self::start(tempfile::tempdir()?, false).await
    }

    /// Starts a server whose commits wait for the disk of `directory`.
    ///
    /// # Errors
    /// If this machine has none, or it does not start.
    pub async fn durable(directory: TempDir) -> Result<Self> {
        Self::start(directory, true).await
    }

    async fn start(directory: TempDir, is_durable: bool) -> Result<Self> {
        let (folder, address) = (directory.path(), port::free()?);
        let password = folder.join("password");
        fs::write(&password, "postgres")?;
        if geteuid().is_root() {
            run(Command::new("chown")
                .arg("postgres")
                .args([folder, &password]))?;
        }
        run(program("initdb")?
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--username=postgres", "--pgdata"])
            .arg(data(folder))
            .arg("--pwfile")
            .arg(&password))?;
        let process = serve(folder, address, is_durable, &[]).await?;
        Ok(Self {
            address,
            process,
            directory,
            is_durable,
        })
    }

    /// Ends it by a signal, waits, and starts it again with `settings`.
    ///
    /// # Errors
    /// If it does not end, or does not start.
    pub async fn restart(
        &mut self,
        signal: Signal,
        pause: Duration,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        self.process.signal(signal)?;
        self.process.end(PATIENCE).await?;
        sleep(pause).await;
        let folder = self.directory.path();
        self.process = serve(folder, self.address, self.is_durable, settings).await?;
        Ok(())
    }

    /// Returns the folder of its database, which it may read.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the address with its user's name and password.
    pub fn url(&self) -> String {
        format!("postgres://postgres:postgres@{}/postgres", self.address)
    }
}

/// Returns a command of the newest PostgreSQL, not as root, which its programs refuse.
///
/// # Errors
/// If this machine has none.
pub fn program(name: &str) -> Result<Command> {
    let versions = fs::read_dir(VERSIONS).context("no PostgreSQL; run `make setup-services`")?;
    let versions = versions.map(|version| Ok(version?.path().join("bin")));
    let versions: Vec<PathBuf> = versions.collect::<Result<_>>()?;
    let installed = versions.into_iter().filter(|bin| bin.join(name).exists());
    let newest = installed.max();
    let newest = newest.with_context(|| format!("no {name} below {VERSIONS}"))?;
    Ok(not_as_root(newest.join(name)))
}

/// Returns a command as the user `postgres`, if this one is root.
pub fn not_as_root(program: impl AsRef<OsStr>) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.args(["--pdeathsig=KILL", "--"]).arg(program);
    command
}

fn data(folder: &Path) -> PathBuf {
    folder.join("postgres")
}

async fn serve(
    folder: &Path,
    address: SocketAddr,
    is_durable: bool,
    settings: &[(&str, &str)],
) -> Result<Process> {
    let mut command = program("postgres")?;
    command.arg("-D").arg(data(folder)).arg("-p");
    command.arg(address.port().to_string());
    let fsync = if is_durable { "on" } else { "off" };
    let own = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", fsync),
    ];
    for (name, value) in own.iter().chain(settings) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let mut process = Process::start(command)?;
    let connected = process.until(Wait::up_to(PATIENCE), "a connection", async || {
        TcpStream::connect(address).await?;
        Ok(Seen::Yes(()))
    });
    connected.await?;
    // It accepts connections before it answers.
    let ready = |line: &str| {
        let is_ready = line.contains("ready to accept connections");
        is_ready.then_some(())
    };
    let ready = process.line("PostgreSQL to be ready", PATIENCE, ready);
    ready.await?;
    Ok(process)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(())
}
