//! `check`: says everything in a manifest and its components that keeps it from being served, without starting.

use crate::{args::CheckArgs, config::ConfigError, hosting, settings::RuntimeConfigError};
use anyhow::Result;
use spin_manifest::{ManifestError, Source};
use std::{path::Path, process::ExitCode};

/// Checks a manifest and the imports of its components, and prints what is found, a line each. The exit code is 0 if it can
/// be served, and 1 if not.
///
/// # Errors
/// Fails if a value of a variable cannot be read.
pub(crate) async fn run(
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
    let mut is_servable = true;
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
        let mut is_complete = true;
        for (source, hint) in std::iter::once(own).chain(parts) {
            match source {
                Source::File(path) if path.is_file() => {}
                Source::File(_) => {
                    println!("{file}: warning: component {id:?}: there is no {source}{hint}");
                    is_complete = false;
                }
                // Downloads are for the start.
                Source::Url { .. } => is_complete = false,
            }
        }
        if !is_complete {
            continue;
        }
        match spin_host::check_imports(component).await {
            Ok(imports) => {
                for import in imports {
                    let is_denied = import.denied.is_some();
                    let warning = if is_denied { "warning: " } else { "" };
                    println!("{file}: {warning}component {id:?}: {import}");
                    is_servable &= is_denied;
                }
            }
            Err(error) => {
                println!("{file}: component {id:?}: {error:#}");
                is_servable = false;
            }
        }
    }
    if !is_servable {
        return Ok(ExitCode::FAILURE);
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
