//! `add` and `remove`: the gateway's lines in a manifest, as a user changes it and as Spin takes it.

mod under_serve;
mod under_spin;

use crate::stack::{GATEWAY, binary, workspace};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;
use testkit::host::require;

/// The manifest of an application in a folder of its own.
struct Application {
    folder: TempDir,
    manifest: PathBuf,
    before: String,
}

impl Application {
    fn new() -> Self {
        Self::of("metrics-host/tests/misbehaving/spin.toml")
    }

    /// Copies a manifest of the workspace.
    fn of(manifest: &str) -> Self {
        let source = workspace(manifest);
        let before = fs::read_to_string(&source).unwrap();
        let beside = source.parent().unwrap().to_str().unwrap();
        let before = before.replace("source = \"", &format!("source = \"{beside}/"));
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("spin.toml");
        fs::write(&manifest, &before).unwrap();
        Self {
            folder,
            manifest,
            before,
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.manifest).unwrap()
    }
}

/// Copies a manifest of the workspace, and adds the gateway to it.
pub(crate) fn behind_gateway(manifest: &str) -> (TempDir, PathBuf) {
    let app = Application::of(manifest);
    let gateway = require(GATEWAY, "make test-components").unwrap();
    let args = ["add", "--yes", "--gateway", gateway.to_str().unwrap()];
    let (code, _, said) = run(app.folder.path(), &args);
    assert_eq!(code, 0, "{said}");
    (app.folder, app.manifest)
}

/// Runs a command without a terminal; returns its exit code, what it printed and what it said.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    let output = command.env_remove("METRICS_HOST_GATEWAY").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn the_gateway_comes_and_goes_without_a_trace() {
    let app = Application::new();
    let folder = app.folder.path();
    fs::write(folder.join("gateway.wasm"), "").unwrap();
    fs::set_permissions(&app.manifest, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.join("link.toml");
    symlink(&app.manifest, &link).unwrap();
    let add = |more: &[&str]| {
        run(
            folder,
            &[&["add", "--gateway", "gateway.wasm"], more].concat(),
        )
    };

    let (code, shown, said) = add(&["--dry-run"]);
    assert_eq!((code, app.text()), (0, app.before.clone()), "{said}");
    for line in [
        "--- spin.toml",
        "-route = \"/api/...\"",
        "+route = { private = true }",
        "+source = \"gateway.wasm\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let (code, _, said) = add(&[]);
    assert_eq!((code, app.text()), (1, app.before.clone()));
    assert!(said.contains("--yes"), "{said}");

    let (code, again, said) = add(&["link.toml", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(again.replace("link.toml", "spin.toml"), shown);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let mode = fs::metadata(&app.manifest).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 3);
    let (code, shown, said) = add(&["--yes", "."]);
    assert_eq!((code, &*shown), (0, ""), "{said}");
    assert!(said.contains("nothing to change"), "{said}");

    let (code, _, said) = run(folder, &["remove", "--yes"]);
    assert_eq!((code, app.text()), (0, app.before.clone()), "{said}");
}

#[test]
fn a_manifest_or_gateway_that_cannot_be_used_is_named() {
    let app = Application::new();
    let folder = app.folder.path();
    for (args, expected) in [
        (&["add", "missing.toml"][..], "missing.toml"),
        (&["add", "--gateway", "missing.wasm"], "missing.wasm"),
        (&["add", "--yes"], "--gateway FILE"),
    ] {
        let (code, _, said) = run(folder, args);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    fs::write(&app.manifest, app.before.replace("\"/api/...\"", "7")).unwrap();
    let (code, _, said) = run(folder, &["add", "--gateway", "spin.toml", "--yes"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("spin.toml: line 8: route = 7 is not known"),
        "{said}"
    );
}
