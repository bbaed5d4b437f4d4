//! Shares of CPU time by the owner of the sampled function, from a recording of `perf`.

use anyhow::{Context, Result, ensure};
use std::{path::Path, process::Command};

/// Parts of a process, and the words that tell their functions. The word that is found first in a name decides: of a generic
/// function it is the outermost type that somebody wrote.
const PARTS: [(&str, &[&str]); 12] = [
    ("SQLite", &["sqlite3", "rusqlite"]),
    ("wasi:http", &["wasmtime_wasi_http"]),
    ("WASI", &["wasmtime_wasi", "cap_std"]),
    ("Wasmtime: streams and futures", &["futures_and_streams"]),
    (
        "Wasmtime: tasks",
        &[
            "component::concurrent",
            "wasmtime_fiber",
            "wasmtime_internal_fiber",
        ],
    ),
    (
        "Wasmtime: component calls and the rest",
        &["wasmtime", "cranelift"],
    ),
    (
        "metrics-host",
        &[
            "spin_host",
            "edge",
            "edge_counts",
            "metrics_host",
            "http_server",
            "request_counts",
            "telemetry",
            "routes",
            "proxy",
            "ingest",
            "journal",
            "exposition",
            "otlp",
        ],
    ),
    (
        "hyper and http",
        &[
            "hyper",
            "h2::",
            "http::",
            "httparse",
            "http_body",
            "bytes::",
        ],
    ),
    ("tokio", &["tokio", "mio::"]),
    (
        "allocator",
        &[
            "mi_", "_mi_", "mimalloc", "malloc", "free", "realloc", "calloc",
        ],
    ),
    ("copies", &["memcpy", "memmove", "memset", "memcmp"]),
    ("tracing", &["tracing"]),
];
const KERNEL: &str = "kernel";
const GUEST: &str = "guest";
const OTHER: &str = "other";

/// Share of the samples, in percent, by part; the largest first.
pub type Shares = Vec<(&'static str, f64)>;

/// Reads the recording `file`.
///
/// # Errors
/// If `perf` fails, or has no samples.
pub fn shares(file: &Path) -> Result<Shares> {
    let mut report = Command::new("perf");
    report
        .args([
            "report",
            "--stdio",
            "--no-children",
            "--percentage=relative",
            "--sort=dso,symbol",
        ])
        .args(["--field-separator=;", "--input"])
        .arg(file);
    let output = report.output().context("cannot run perf report")?;
    let problem = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "perf report failed: {problem}");
    let shares = sum(&String::from_utf8_lossy(&output.stdout));
    ensure!(!shares.is_empty(), "perf recorded no samples: {problem}");
    Ok(shares)
}

/// Adds up the lines of a report: `percent;object;[k] function`.
fn sum(report: &str) -> Shares {
    let mut shares = Shares::new();
    for line in report.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.splitn(3, ';').map(str::trim);
        let (Some(percent), Some(object), Some(symbol)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Ok(percent) = percent.trim_end_matches('%').parse::<f64>() else {
            continue;
        };
        let part = part_of(object, symbol);
        match shares.iter_mut().find(|(name, _)| *name == part) {
            Some((_, share)) => *share += percent,
            None => shares.push((part, percent)),
        }
    }
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares
}

fn part_of(object: &str, symbol: &str) -> &'static str {
    let (kind, name) = symbol.split_once(']').unwrap_or(("", symbol));
    if kind.ends_with('k') || object.starts_with("[kernel") {
        return KERNEL;
    }
    // Compiled code of a component is in no file.
    if matches!(object, "[unknown]" | "//anon" | "[heap]")
        || object.starts_with("[JIT]")
        || object.starts_with("anon")
    {
        return GUEST;
    }
    let name = name.trim();
    let found = PARTS.iter().flat_map(|(part, words)| {
        words
            .iter()
            .filter_map(move |word| at_a_boundary(name, word).map(|at| (at, *part)))
    });
    found
        .min_by_key(|(at, _)| *at)
        .map_or(OTHER, |(_, part)| part)
}

/// Returns where `word` begins a word of `name`.
fn at_a_boundary(name: &str, word: &str) -> Option<usize> {
    name.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = name[..*at].chars().next_back();
        before.is_none_or(|before| {
            !before.is_alphanumeric() && (before != '_' || word.starts_with("_"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_belongs_to_the_first_owner_that_its_function_names() {
        let report = "# a comment\n\
             40.00%;[kernel.kallsyms];[k] tcp_sendmsg\n\
             20.00%;[unknown];[.] 0x00007f00\n\
             10.00%;metrics-host;[.] <core::pin::Pin<P> as core::future::Future>::poll::<hyper::server::Conn<tokio::net::TcpStream>>\n\
             5.00%;metrics-host;[.] wasmtime::runtime::component::concurrent::futures_and_streams::guest_write\n\
             5.00%;metrics-host;[.] mi_malloc\n\
             2.00%;libc.so.6;[.] __memmove_avx_unaligned_erms\n\
             1.00%;libc.so.6;[.] getenv\n\
             17.00%;metrics-host;[.] sqlite3VdbeExec\n";
        let shares = sum(report);
        let share = |part| {
            shares
                .iter()
                .find(|(name, _)| *name == part)
                .map(|(_, share)| *share)
        };
        assert_eq!(shares[0], (KERNEL, 40.0));
        assert_eq!(share(GUEST), Some(20.0));
        assert_eq!(share("hyper and http"), Some(10.0));
        assert_eq!(share("Wasmtime: streams and futures"), Some(5.0));
        assert_eq!(share("SQLite"), Some(17.0));
        assert_eq!(
            (share("allocator"), share("copies"), share(OTHER)),
            (Some(5.0), Some(2.0), Some(1.0))
        );
    }
}
