//! Files that a package installs beside the binary: completions for shells, and man pages.

use crate::args::Args;
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::{fs, io, path::Path};

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) {
    clap_complete::generate(
        shell,
        &mut Args::command(),
        "metrics-host",
        &mut io::stdout(),
    );
}

/// Writes a man page for each command into a directory, such as `metrics-host-serve.1`.
pub(crate) fn pages(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Args::command(), directory))
        .with_context(|| format!("cannot write man pages into {}", directory.display()))
}
