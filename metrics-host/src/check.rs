//! `check`: says everything in a manifest that keeps it from being served, without starting.

use crate::{args::CheckArgs, config::ConfigError, hosting};
use anyhow::Result;
use spin_manifest::ManifestError;
use std::{path::Path, process::ExitCode};

/// Checks a manifest and prints what is found, a line each. The exit code is 0 if it can be served, and 1 if not.
///
/// # Errors
/// Fails if a value of a variable cannot be read.
pub(crate) fn run(
    args: CheckArgs,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<ExitCode> {
    let path = match args.path.is_dir() {
        true => args.path.join("spin.toml"),
        false => args.path,
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let settings = args.settings.resolve(directory, environment)?;
    let file = path.display();
    let manifest = match hosting::load_manifest(&path, settings) {
        Ok(manifest) => manifest,
        Err(ConfigError::Manifest {
            source: ManifestError::Problems(problems),
            ..
        }) => {
            for problem in &problems {
                println!("{file}: {problem}");
            }
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            println!("{:#}", anyhow::Error::new(error));
            return Ok(ExitCode::FAILURE);
        }
    };
    for warning in &manifest.warnings {
        println!("{file}: warning: {warning}");
    }
    for (id, component) in &manifest.components {
        if component.source.is_file() {
            continue;
        }
        let source = component.source.display();
        let build = component.build_command.as_deref();
        let hint = build.map(|command| format!("; build it with: {command}"));
        let hint = hint.unwrap_or_default();
        println!("{file}: warning: component {id:?}: there is no {source}{hint}");
    }
    println!("{file}: can be served");
    Ok(ExitCode::SUCCESS)
}
