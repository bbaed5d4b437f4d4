//! The command of `proxy -- COMMAND…`: it is started, told where to listen, and ends with this process.

use anyhow::{Context, Result, anyhow, ensure};
use proxy::Authority;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    convert::Infallible,
    ffi::OsString,
    net::SocketAddr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    process::Child,
    signal::unix::{self, SignalKind},
    task::JoinSet,
    time,
};

/// Pause between two attempts to connect to a command that starts.
const PAUSE: Duration = Duration::from_millis(20);
/// Time after SIGTERM until SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// Placeholders for the port and the address in arguments of the command.
const PORT: &str = "{port}";
const ADDRESS: &str = "{address}";

/// Signals that the command gets when this process gets them.
const PASSED: [(fn() -> SignalKind, Signal); 4] = [
    (SignalKind::hangup, Signal::HUP),
    (SignalKind::user_defined1, Signal::USR1),
    (SignalKind::user_defined2, Signal::USR2),
    (SignalKind::quit, Signal::QUIT),
];

/// A running command, with a process group of its own: a Ctrl-C in the terminal reaches it only through this process.
/// It gets SIGTERM when it is dropped.
#[derive(Debug)]
pub(crate) struct Command {
    name: String,
    child: Child,
    group: Pid,
    /// Passes signals on that do not end this process.
    _passing: JoinSet<()>,
}

/// A free address that nobody else is given before the command listens there.
///
/// A command takes a while to start. A port that is merely free may meanwhile become another process's, which would then
/// be taken for the application. Linux gives a port that is bound away to nobody who asks for any, and lets servers that
/// ask for it by number bind it too if both sides set `SO_REUSEADDR` (socket(7), `ip_autobind_reuse` of ip-sysctl).
#[derive(Debug)]
pub(crate) struct FreeAddress {
    pub(crate) address: SocketAddr,
    _bound: Option<TcpSocket>,
}

impl FreeAddress {
    /// # Errors
    /// Fails if no port is free.
    pub(crate) fn find() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        // Elsewhere two sockets cannot be bound to one address.
        let bound = cfg!(target_os = "linux").then_some(socket);
        Ok(Self {
            address,
            _bound: bound,
        })
    }
}

/// # Errors
/// Fails if a server listens at an address that a command is to take.
pub(crate) async fn ensure_free(address: (&str, u16)) -> Result<()> {
    let (host, port) = address;
    ensure!(
        TcpStream::connect(address).await.is_err(),
        "something listens on {host}:{port} already: end it, give the command another address with --upstream, or leave \
         --upstream out to have a free one chosen"
    );
    Ok(())
}

impl Command {
    /// Starts a command that is to listen on `address`. It learns so from the arguments `{address}` and `{port}`, the
    /// variable `PORT`, and Spin's own.
    ///
    /// # Errors
    /// Fails if it cannot be started. The message names it.
    pub(crate) fn start(words: &[OsString], address: &Authority) -> Result<Self> {
        let name = words[0].to_string_lossy().into_owned();
        let port = address.host_and_port().1.to_string();
        let words = words.iter().map(|word| match word.to_str() {
            Some(word) => word
                .replace(PORT, &port)
                .replace(ADDRESS, &address.to_string())
                .into(),
            None => word.clone(),
        });
        // A shell would report a missing program only as 127.
        find(Path::new(&name)).with_context(|| format!("cannot start the command {name:?}"))?;
        let own = std::env::current_exe().context("cannot find this program")?;
        let mut command = tokio::process::Command::new(own);
        command
            .args(["exec", &std::process::id().to_string(), "--"])
            .args(words)
            .env("PORT", &port)
            .env("SPIN_HTTP_LISTEN_ADDR", address.to_string())
            .stdin(Stdio::null())
            .process_group(0);
        if std::env::var_os("SPIN_VARIABLE_TELEMETRY").is_none() {
            // This process counts, so components must not.
            command.env("SPIN_VARIABLE_TELEMETRY", "inline");
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start the command {name:?}"))?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = id.with_context(|| format!("the command {name:?} ended at once"))?;
        tracing::info!(command = name, %address, "started");
        let mut passing = JoinSet::new();
        for (kind, signal) in PASSED {
            let mut received = unix::signal(kind())?;
            passing.spawn(async move {
                while received.recv().await.is_some() {
                    _ = kill_process_group(group, signal);
                }
            });
        }
        Ok(Self {
            name,
            child,
            group,
            _passing: passing,
        })
    }

    /// Waits until something listens on `address`.
    ///
    /// # Errors
    /// Fails if the command ends before; with its status.
    pub(crate) async fn until_it_listens(&mut self, address: (&str, u16)) -> Result<()> {
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                time::sleep(PAUSE).await;
            }
        };
        let ended = tokio::select! {
            () = listens => return Ok(()),
            ended = self.child.wait() => ended?,
        };
        let (host, port) = address;
        Err(anyhow::Error::new(Ended(ended)).context(format!(
            "the command {:?} ended before it listened on {host}:{port}",
            self.name
        )))
    }

    /// Waits for the end of the command and returns its status.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Ends the command: SIGTERM, and SIGKILL for all its processes after a while. Returns its status.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        if let Ok(ended) = time::timeout(GRACE, self.child.wait()).await {
            return Ok(ended?);
        }
        tracing::warn!(
            command = self.name,
            "killed: it did not end within {GRACE:?}"
        );
        self.signal(Signal::KILL);
        Ok(self.child.wait().await?)
    }

    fn signal(&self, signal: Signal) {
        // It may have ended.
        _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
        }
    }
}

/// The end of a command before this process was ready.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ended(ExitStatus);

impl Ended {
    pub(crate) fn code(&self) -> ExitCode {
        exit_code(self.0)
    }
}

/// Returns the exit code that stands for a status, as in a shell: 128 and the number of the signal that ended it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}

/// Becomes the command, which then gets SIGTERM if this process's parent ends, however that happens.
///
/// # Errors
/// Fails if the command cannot be started.
pub(crate) fn become_command(parent: u32, words: &[OsString]) -> Result<Infallible> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    if rustix::process::getppid()
        .map(Pid::as_raw_nonzero)
        .map(|id| id.get())
        != Some(parent.cast_signed())
    {
        return Err(anyhow!("metrics-host has ended"));
    }
    let mut command = std::process::Command::new(&words[0]);
    let error = command.args(&words[1..]).exec();
    Err(error).with_context(|| format!("cannot start the command {:?}", words[0]))
}

/// Looks a program up as `exec` does.
fn find(program: &Path) -> Result<()> {
    let exists = |path: &Path| path.is_file();
    let found = match program.components().count() {
        1 => std::env::var_os("PATH").is_some_and(|paths| {
            std::env::split_paths(&paths).any(|directory| exists(&directory.join(program)))
        }),
        _ => exists(program),
    };
    found
        .then_some(())
        .ok_or_else(|| anyhow!("no such program"))
}
