//! `add` and `remove`: the gateway component in the manifest of an application.

use crate::{
    args::{AddArgs, ManifestArgs},
    build_info::{GATEWAY_DIGEST, GATEWAY_URL},
    config::load_routes,
};
use anyhow::{Context, Result, bail};
use gateway_manifest::{ManifestError, Source};
use routes::Routes;
use similar::TextDiff;
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tempfile::NamedTempFile;

/// Adds the gateway to a manifest.
///
/// # Errors
/// Fails if the manifest cannot be changed, or if there is no gateway to name.
pub(crate) fn add(args: &AddArgs) -> Result<ExitCode> {
    let path = manifest(&args.manifest)?;
    let source = match &args.gateway {
        Some(file) => local(file, &path)?,
        None => released()?,
    };
    let routes = args.routes.as_deref().map(routes).transpose()?;
    change(&args.manifest, &path, |text| {
        gateway_manifest::add(text, &source, routes.as_deref())
    })
}

/// Takes the gateway out of a manifest.
///
/// # Errors
/// Fails if the manifest cannot be changed.
pub(crate) fn remove(args: &ManifestArgs) -> Result<ExitCode> {
    let path = manifest(args)?;
    change(args, &path, gateway_manifest::remove)
}

/// Returns the path of the manifest, behind all links: the file itself is replaced, not a link to it.
fn manifest(args: &ManifestArgs) -> Result<PathBuf> {
    let path = match args.path.is_dir() {
        true => args.path.join("spin.toml"),
        false => args.path.clone(),
    };
    fs::canonicalize(&path).with_context(|| format!("cannot find {}", path.display()))
}

/// Returns a component on this machine, as a manifest names it.
fn local(file: &Path, manifest: &Path) -> Result<Source> {
    let absolute = fs::canonicalize(file)
        .with_context(|| format!("--gateway: cannot find {}", file.display()))?;
    let folder = manifest.parent().unwrap_or(manifest);
    let named = absolute.strip_prefix(folder).unwrap_or(&absolute);
    let named = named
        .to_str()
        .with_context(|| format!("--gateway: {} is not UTF-8", named.display()))?;
    Ok(Source::File(named.to_owned()))
}

/// Returns the routes of a file as the gateway reads them.
fn routes(file: &Path) -> Result<String> {
    let routes = load_routes(Some(file))?;
    let text = routes.to_text();
    Routes::parse(text).context("the gateway cannot read these routes")?;
    Ok(text.to_owned())
}

fn released() -> Result<Source> {
    let (Some(url), Some(digest)) = (GATEWAY_URL, GATEWAY_DIGEST) else {
        bail!(
            "this build belongs to no release, so it knows no gateway; name the component with --gateway FILE"
        );
    };
    Ok(Source::Url {
        url: url.to_owned(),
        digest: digest.to_owned(),
    })
}

/// Shows what `edit` makes of the manifest, asks, and writes it.
fn change(
    args: &ManifestArgs,
    path: &Path,
    edit: impl FnOnce(&str) -> Result<String, ManifestError>,
) -> Result<ExitCode> {
    let shown = args.path.display();
    let before = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let after = edit(&before).with_context(|| shown.to_string())?;
    if after == before {
        eprintln!("nothing to change in {shown}");
        return Ok(ExitCode::SUCCESS);
    }
    let difference = TextDiff::from_lines(&before, &after);
    let name = shown.to_string();
    print!("{}", difference.unified_diff().header(&name, &name));
    io::stdout().flush()?;
    if args.dry_run || !(args.yes || agreed(&name)?) {
        eprintln!("{name} is unchanged");
        return Ok(ExitCode::from(u8::from(!args.dry_run)));
    }
    write(path, &after).with_context(|| format!("cannot write {shown}"))?;
    eprintln!("{name} is changed");
    Ok(ExitCode::SUCCESS)
}

/// Asks whether to write.
fn agreed(name: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked whether to change {name}; say so with --yes");
    }
    eprint!("Change {name}? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Replaces a file by a rename, with its permissions: no reader sees half of it.
fn write(path: &Path, text: &str) -> Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let folder = path.parent().unwrap_or(path);
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
