//! `check`: says everything in a manifest and its components that keeps it from being served, without starting.

use crate::{args::CheckArgs, config::ConfigError, hosting};
use anyhow::{Context, Result};
use spin_host::Unserved;
use spin_manifest::ManifestError;
use std::{fs, path::Path, process::ExitCode};

/// Checks a manifest and the imports of its components, and prints what is found, a line each. The exit code is 0 if it can be served, and 1 if not.
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
    let mut is_servable = true;
    for (id, component) in &manifest.components {
        if component.source.is_file() {
            match unserved(&component.source) {
                Ok(imports) => {
                    for import in imports {
                        let warning = if import.denied.is_some() {
                            "warning: "
                        } else {
                            ""
                        };
                        println!("{file}: {warning}component {id:?}: {import}");
                        is_servable &= import.denied.is_some();
                    }
                }
                Err(error) => {
                    println!("{file}: component {id:?}: {error:#}");
                    is_servable = false;
                }
            }
            continue;
        }
        let source = component.source.display();
        let build = component.build_command.as_deref();
        let hint = build.map(|command| format!("; build it with: {command}"));
        let hint = hint.unwrap_or_default();
        println!("{file}: warning: component {id:?}: there is no {source}{hint}");
    }
    if !is_servable {
        return Ok(ExitCode::FAILURE);
    }
    println!("{file}: can be served");
    Ok(ExitCode::SUCCESS)
}

/// Returns the imports of a component that do not work.
fn unserved(component: &Path) -> Result<Vec<Unserved>> {
    let wasm =
        fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    spin_host::unserved(&wasm).with_context(|| format!("{} is no WebAssembly", component.display()))
}
