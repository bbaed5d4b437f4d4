//! What this binary was built from.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit, or `unknown` outside a checkout; set by the build script.
pub const REVISION: &str = env!("METRICS_HOST_REVISION");

/// Version and commit, for `--version`.
pub const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("METRICS_HOST_REVISION"),
    ")"
);
