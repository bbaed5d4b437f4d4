//! Applications as `spin new` makes them from Spin's templates, unchanged: under `serve`, and under Spin.
//!
//! `make test-templates` writes the table in `docs/compatibility.md`.

use crate::{
    client::{empty, request},
    scrape::Scrape,
    spin::Spin,
    stack::{self, workspace},
};
use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use std::{env, fs, path::Path, process::Command, sync::Arc};
use testkit::{counts::Counts, host::require, http};
use tokio::net::TcpListener;

/// A template of Spin, or another start that Spin's documentation shows.
struct Template {
    name: &'static str,
    /// Values for variables of the template that have no default.
    values: &'static [&'static str],
    source: Source,
    /// A request to the application, and the start of the response's body.
    request: &'static str,
    route: &'static str,
    status: u16,
    body: &'static str,
    remark: &'static str,
}

/// Where its component comes from.
enum Source {
    /// `spin build`.
    Built,
    /// A download, which is replaced by a stand-in at an address of this machine.
    StandIn,
    /// Neither; the remark says why.
    Nowhere,
}

const TEMPLATES: [Template; 14] = [
    built(
        "http-rust",
        "Hello World!",
        "`spin-sdk` 6, WASI 0.3.0-rc-2026-03-15",
    ),
    built(
        "http-rust-p2",
        "Hello World!",
        "`spin-sdk` 5.2, a module of WASI 0.1",
    ),
    Template {
        request: "GET /",
        ..built(
            "http-ts",
            "Hello, Spin!",
            "itty-router; the SDK in version 1, which npm has",
        )
    },
    Template {
        request: "GET /",
        ..built(
            "http-js",
            "Hello, Spin!",
            "itty-router; the SDK in version 1, which npm has",
        )
    },
    built(
        "http-py",
        "Hello from Python!",
        "`spin-sdk` 4 and `componentize-py` of PyPI, WASI 0.3",
    ),
    built(
        "http-py-p2",
        "Hello from Python!",
        "`spin-sdk` 3 and `componentize-py` of PyPI, WASI 0.2",
    ),
    Template {
        values: &["redirect-from=/old", "redirect-to=/new"],
        source: Source::StandIn,
        request: "GET /old",
        route: "/old",
        status: 302,
        ..built(
            "redirect",
            "",
            "downloads its component: a stand-in, at another URL",
        )
    },
    Template {
        source: Source::StandIn,
        request: "GET /static/page.txt",
        route: "/static/...",
        ..built(
            "static-fileserver",
            "a page",
            "downloads its component: a stand-in, at another URL",
        )
    },
    built("http-c", "Hello from WAGI/1", "WAGI; Zig 0.14"),
    built("http-zig", "Hello World!", "WAGI; Zig 0.14"),
    Template {
        source: Source::Nowhere,
        ..built(
            "http-go",
            "",
            "needs Go 1.25 and `componentize-go`, a program that is downloaded from GitHub",
        )
    },
    Template {
        source: Source::Nowhere,
        ..built(
            "http-grain",
            "",
            "WAGI; needs the compiler of Grain, which is downloaded from GitHub",
        )
    },
    Template {
        source: Source::Nowhere,
        ..built("http-php", "", "WAGI; downloads PHP from GitHub")
    },
    Template {
        source: Source::Nowhere,
        ..built(
            "http-empty",
            "",
            "has no trigger: neither Spin nor `serve` starts it",
        )
    },
];

const fn built(name: &'static str, body: &'static str, remark: &'static str) -> Template {
    Template {
        name,
        values: &[],
        source: Source::Built,
        request: "GET /a/path",
        route: "/...",
        status: 200,
        body,
        remark,
    }
}

/// The lines between which the table is.
const MARKERS: [&str; 2] = ["<!-- templates -->", "<!-- end of templates -->"];
const PAGE: &str = "docs/compatibility.md";
const HEAD: &str =
    "| template | Spin | `serve` answers | `serve` counts | remark |\n|---|---|---|---|---|\n";

impl Template {
    /// Makes the application with `spin new` in `directory`, and returns its folder.
    async fn make(&self, directory: &Path, home: &Path) -> Result<std::path::PathBuf> {
        let folder = directory.join("app");
        let mut new = spin(home);
        new.args([
            "new",
            "--accept-defaults",
            "--no-vcs",
            "-t",
            self.name,
            "-o",
        ]);
        new.arg(&folder).arg("app");
        for value in self.values {
            new.args(["--value", value]);
        }
        run(&mut new)?;
        let manifest = folder.join("spin.toml");
        match self.source {
            Source::Built => {
                let mut build = spin(home);
                // Applications share what they compile; each gets its own component.
                build.env("CARGO_BUILD_BUILD_DIR", workspace("target/templates"));
                if folder.join("requirements.txt").exists() {
                    run(Command::new("python3")
                        .args(["-m", "venv"])
                        .arg(folder.join("venv")))?;
                    let programs = folder.join("venv/bin");
                    run(Command::new(programs.join("pip"))
                        .args(["install", "--quiet", "--requirement", "requirements.txt"])
                        .current_dir(&folder))?;
                    build.env("VIRTUAL_ENV", folder.join("venv"));
                    let path = env::var("PATH")?;
                    build.env("PATH", format!("{}:{path}", programs.display()));
                }
                run(build.arg("build").current_dir(&folder))?;
            }
            Source::StandIn => {
                let text = fs::read_to_string(&manifest)?;
                fs::write(&manifest, with_stand_in(&text).await?)?;
                let page = folder.join("assets/page.txt");
                if let Some(assets) = page.parent().filter(|assets| assets.exists()) {
                    fs::write(assets.join("page.txt"), "a page")?;
                }
            }
            Source::Nowhere => {}
        }
        Ok(folder)
    }

    /// Sends its request.
    async fn ask(&self, address: impl ToString) -> Result<()> {
        let reply = http::send(address, empty(request(self.request))).await?;
        let (status, body) = (reply.status.as_u16(), reply.text());
        ensure!(
            status == self.status && body.starts_with(self.body),
            "{status} {body}"
        );
        Ok(())
    }

    /// Returns whether it answers under `serve`, and whether that is counted.
    async fn served(&self, manifest: &Path) -> Result<bool> {
        let host = stack::serve().manifest(manifest).start().await?;
        self.ask(host.api()).await?;
        let scrape = Scrape::of(host.metrics()).await;
        let status = self.status.to_string();
        let expected = Counts::from([("GET", self.route, status.as_str(), 1)]);
        Ok(scrape.requests() == expected)
    }

    /// Returns its line of the table.
    async fn line(&self, home: &Path) -> Result<String> {
        let columns = match self.source {
            Source::Nowhere => "not tried | not tried | not tried".to_owned(),
            Source::Built | Source::StandIn => {
                let directory = Arc::new(tempfile::tempdir()?);
                let manifest = self.make(directory.path(), home).await?.join("spin.toml");
                let under_spin = Spin::serve(&manifest, &[], &directory).await;
                self.ask(under_spin.api)
                    .await
                    .with_context(|| format!("{} under Spin", self.name))?;
                let (answers, counts) = match self.served(&manifest).await {
                    Ok(counted) => ("yes", if counted { "yes" } else { "no" }),
                    Err(error) if format!("{error:#}").contains("wagi") => ("refused", "–"),
                    Err(error) => return Err(error.context(self.name)),
                };
                format!("yes | {answers} | {counts}")
            }
        };
        Ok(format!("| {} | {columns} | {} |\n", self.name, self.remark))
    }
}

/// Returns the manifest with the download's URL and digest replaced by those of the stand-in.
async fn with_stand_in(manifest: &str) -> Result<String> {
    let file = "target/wasm32-wasip2/component/examples/stand_in.wasm";
    let wasm = fs::read(require(file, "make conformance-components")?)?;
    let digest = run_for_output(Command::new("sha256sum").arg(workspace(file)))?;
    let digest = digest
        .split_whitespace()
        .next()
        .context("a digest")?
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/stand_in.wasm", listener.local_addr()?);
    tokio::spawn(async {
        let download = Router::new().fallback(async move || wasm);
        axum::serve(listener, download).await
    });
    let lines = manifest
        .lines()
        .map(|line| match line.starts_with("source = { url") {
            true => format!("source = {{ url = \"{url}\", digest = \"sha256:{digest}\" }}\n"),
            false => format!("{line}\n"),
        });
    Ok(lines.collect())
}

/// A Spin with templates of its own.
fn spin(home: &Path) -> Command {
    let mut command = Command::new("spin");
    command.env("XDG_DATA_HOME", home);
    command
}

fn run(command: &mut Command) -> Result<()> {
    run_for_output(command).map(drop)
}

fn run_for_output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{command:?}: {said}");
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the page before, in and behind the table.
fn page() -> (String, String, String) {
    let page = fs::read_to_string(workspace(PAGE)).unwrap();
    let (before, rest) = page.split_once(MARKERS[0]).unwrap();
    let (table, behind) = rest.split_once(MARKERS[1]).unwrap();
    (before.to_owned(), table.to_owned(), behind.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make test-templates runs it: it builds applications for minutes"]
async fn the_page_has_what_came_of_each_template() {
    let sources = env::var("SPIN_TEMPLATES").expect("run `make test-templates`");
    let home = tempfile::tempdir().unwrap();
    for source in sources.split_whitespace() {
        let kind = if source.starts_with("https://") {
            "--git"
        } else {
            "--dir"
        };
        run(spin(home.path()).args(["templates", "install", kind, source])).unwrap();
    }
    let mut table = HEAD.to_owned();
    for template in &TEMPLATES {
        table += &template.line(home.path()).await.unwrap();
    }
    let (before, _, behind) = page();
    let text = format!("{before}{}\n\n{table}{}{behind}", MARKERS[0], MARKERS[1]);
    fs::write(workspace(PAGE), text).unwrap();
}

#[test]
fn the_page_names_every_template() {
    let (_, table, _) = page();
    let mut lines = table.lines().skip(4);
    for template in &TEMPLATES {
        let line = lines.next().unwrap();
        let cells: Vec<_> = line.split(" | ").collect();
        assert_eq!(cells[0], format!("| {}", template.name));
        assert_eq!(cells[4], format!("{} |", template.remark));
    }
    assert_eq!(lines.next(), None);
}
