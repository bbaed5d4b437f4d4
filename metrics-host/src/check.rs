//! `check`: says everything in a manifest that keeps it from being served, without starting.

use crate::{args::CheckArgs, config::ConfigError, hosting, settings::RuntimeConfigError};
use anyhow::Result;
use spin_manifest::{ManifestError, Source};
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
    let settings = match args.settings.resolve(directory, environment) {
        Ok(settings) => settings,
        Err(error) => {
            let RuntimeConfigError { path, source } = error.downcast()?;
            return Ok(refused(&path, source));
        }
    };
    let file = path.display();
    let manifest = match hosting::load_manifest(&path, settings) {
        Ok(manifest) => manifest,
        Err(ConfigError::Manifest { source, .. }) => return Ok(refused(&path, source)),
        Err(error) => {
            println!("{:#}", anyhow::Error::new(error));
            return Ok(ExitCode::FAILURE);
        }
    };
    for warning in &manifest.runtime.warnings {
        println!("{}: warning: {warning}", manifest.runtime.file.display());
    }
    for warning in &manifest.warnings {
        println!("{file}: warning: {warning}");
    }
    for (id, component) in &manifest.components {
        let build = component.build_command.as_deref();
        let hint = build.map(|command| format!("; build it with: {command}"));
        let composed = component
            .dependencies
            .iter()
            .map(|dependency| &dependency.source);
        let before = component
            .middleware
            .iter()
            .map(|middleware| &middleware.source);
        let parts = composed.chain(before).map(|source| (source, ""));
        let own = (&component.source, hint.as_deref().unwrap_or_default());
        for (source, hint) in std::iter::once(own).chain(parts) {
            if let Source::File(path) = source
                && !path.is_file()
            {
                println!("{file}: warning: component {id:?}: there is no {source}{hint}");
            }
        }
    }
    println!("{file}: can be served");
    Ok(ExitCode::SUCCESS)
}

/// Prints what keeps a file from being used, a line each.
fn refused(path: &Path, error: ManifestError) -> ExitCode {
    let file = path.display();
    match error {
        ManifestError::Problems(problems) => {
            for problem in problems {
                println!("{file}: {problem}");
            }
        }
        error => println!("{file}: {:#}", anyhow::Error::new(error)),
    }
    ExitCode::FAILURE
}
