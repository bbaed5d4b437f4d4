//! Starts a program that does not outlive this process.

use rustix::{
    io::Errno,
    process::{Signal, getpid, getppid, set_parent_process_death_signal},
};
use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{LazyLock, mpsc},
    thread,
};

type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts `command` as the leader of a process group of its own: Ctrl-C reaches this process alone, which ends its
/// children in its own order.
///
/// It is spawned by a thread that lives as long as this process. The kernel takes the thread for the parent, and would
/// kill the child when the thread of a test ends.
pub(super) fn spawn(mut command: Command) -> io::Result<Child> {
    static ORDERS: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in taken {
                // The caller waits for it.
                _ = reply.send(command.spawn());
            }
        });
        orders
    });
    command.process_group(0);
    die_with_parent(&mut command);
    let (reply, spawned) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes has ended");
    ORDERS.send((command, reply)).map_err(|_| gone())?;
    spawned.recv().map_err(|_| gone())?
}

/// Has the kernel kill the process when its parent ends, `kill -9` of the parent included.
#[expect(
    unsafe_code,
    reason = "there is no other way to run code between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure only makes system calls and builds errors from their codes; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // A parent that ended before the call above sends no signal any more.
            if getppid() != Some(parent) {
                return Err(Errno::SRCH.into());
            }
            Ok(())
        });
    }
}
