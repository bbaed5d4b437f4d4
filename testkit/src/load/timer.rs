//! A timer of the kernel: tokio's own goes by milliseconds, and a server answers in a fraction of one.

use anyhow::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::{io, time::Instant};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// A timer's descriptor becomes readable when it is due, as a pipe does, and tokio reads pipes without unsafe code.
#[derive(Debug)]
pub(super) struct Timer(Receiver);

impl Timer {
    pub(super) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(timer)?))
    }

    /// Waits until `due`.
    pub(super) async fn wait(&mut self, due: Instant) -> io::Result<()> {
        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: wait.try_into().map_err(io::Error::other)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec)?;
        // It tells how often it was due.
        self.0.read_u64_le().await?;
        Ok(())
    }
}
