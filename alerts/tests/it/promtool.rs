//! promtool and amtool.

use std::{path::Path, process::Command};

/// Exit and output of a program.
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) output: String,
}

/// Runs promtool or amtool in `folder`.
pub(crate) fn run(program: &str, arguments: &[&str], folder: &Path) -> Outcome {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GOMAXPROCS", "1")
        .env("GOGC", "400")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: run `make setup-test`"));
    let text = [output.stdout, output.stderr].concat();
    Outcome {
        success: output.status.success(),
        output: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// Runs promtool or amtool in `folder`, and returns its output; panics with the output if it fails.
pub(crate) fn succeed(program: &str, arguments: &[&str], folder: &Path) -> String {
    let Outcome { success, output } = run(program, arguments, folder);
    assert!(success, "{program} {arguments:?}: {output}");
    output
}
