//! `alerts generate`, run in the workspace root, writes the rendered files that the repository commits.

#![forbid(unsafe_code)]

use alerts::committed;
use anyhow::{Context, Result};
use std::{env, fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate"] => generate(Path::new(".")),
        _ => {
            eprintln!("usage: alerts generate");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alerts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn generate(root: &Path) -> Result<()> {
    for folder in committed()? {
        for file in folder.files {
            let path = root.join(folder.path).join(file.path);
            let parent = path.parent().context("a file has a parent folder")?;
            fs::create_dir_all(parent).with_context(|| format!("cannot create {parent:?}"))?;
            fs::write(&path, file.text).with_context(|| format!("cannot write {path:?}"))?;
        }
    }
    Ok(())
}
