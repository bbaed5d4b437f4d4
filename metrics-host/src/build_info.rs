//! Version and commit of this binary.

/// Version of the package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit, or `unknown` outside a checkout; set by the build script.
pub(crate) const REVISION: &str = env!("METRICS_HOST_REVISION");

/// Version and commit, for `--version`.
pub(crate) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("METRICS_HOST_REVISION"),
    ")"
);

/// URL of the gateway component of this release; only builds of a release have one.
pub(crate) const GATEWAY_URL: Option<&str> = option_env!("METRICS_HOST_GATEWAY_URL");

/// `sha256:` and the digest of the component at [`GATEWAY_URL`].
pub(crate) const GATEWAY_DIGEST: Option<&str> = option_env!("METRICS_HOST_GATEWAY_DIGEST");
