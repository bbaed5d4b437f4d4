//! Values that the command line and the environment add to a manifest, as under `spin up`.

use anyhow::{Context, Result, bail};
use spin_manifest::{ManifestError, RuntimeConfig, Settings};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Prefix of environment variables that set variables of the application.
const PREFIX: &str = "SPIN_VARIABLE_";

/// Flags that add values to a manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    /// Variable of the application: NAME=VALUE, NAME=@FILE with its value, or @FILE.json or @FILE.toml with several;
    /// repeatable
    #[arg(
        long = "variable",
        env = "METRICS_HOST_VARIABLE",
        value_name = "NAME=VALUE"
    )]
    variables: Vec<Variables>,

    /// Environment variable of every component; repeatable
    #[arg(
        long = "env",
        env = "METRICS_HOST_ENV",
        value_name = "NAME=VALUE",
        value_parser = pair
    )]
    environment: Vec<(String, String)>,

    /// Build profile of the components; those that do not have it stay as they are
    #[arg(long, env = "METRICS_HOST_PROFILE", value_name = "NAME")]
    profile: Option<String>,

    /// Spin's runtime configuration: places of stores and databases, values of variables
    #[arg(long, env = "METRICS_HOST_RUNTIME_CONFIG_FILE", value_name = "FILE")]
    runtime_config_file: Option<PathBuf>,
}

/// A runtime config file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub(crate) struct RuntimeConfigError {
    pub(crate) path: PathBuf,
    pub(crate) source: ManifestError,
}

/// A value of `--variable`.
#[derive(Clone, Debug)]
enum Variables {
    Value(String, String),
    File(String, PathBuf),
    Json(PathBuf),
    Toml(PathBuf),
}

impl FromStr for Variables {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix('@').map(PathBuf::from) {
            return match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => Ok(Self::Json(path)),
                Some("toml") => Ok(Self::Toml(path)),
                _ => Err("a file of variables ends in .json or .toml"),
            };
        }
        let (name, value) = pair(text)?;
        Ok(match value.strip_prefix('@') {
            Some(path) => Self::File(name, path.into()),
            None => Self::Value(name, value),
        })
    }
}

impl Variables {
    fn read(self) -> Result<BTreeMap<String, String>> {
        let content = |path: &Path| {
            fs::read_to_string(path)
                .with_context(|| format!("--variable: cannot read {}", path.display()))
        };
        let malformed =
            |path: &Path| format!("--variable: {} must map names to texts", path.display());
        Ok(match self {
            Self::Value(name, value) => BTreeMap::from([(name, value)]),
            Self::File(name, path) => BTreeMap::from([(name, content(&path)?)]),
            Self::Json(path) => {
                serde_json::from_str(&content(&path)?).with_context(|| malformed(&path))?
            }
            Self::Toml(path) => {
                toml::from_str(&content(&path)?).with_context(|| malformed(&path))?
            }
        })
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected NAME=VALUE");
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl SettingsArgs {
    /// Returns the settings for the manifest in `directory`. A flag wins over the runtime config file, that over
    /// `environment`, and that over a file `.env` beside the manifest.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub(crate) fn resolve(
        self,
        directory: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings> {
        let runtime = match self.runtime_config_file {
            Some(path) => {
                RuntimeConfig::load(&path).map_err(|source| RuntimeConfigError { path, source })?
            }
            None => RuntimeConfig::default(),
        };
        let mut variables = Vec::new();
        // The last of several flags with one name counts.
        for flag in self.variables.into_iter().rev() {
            variables.extend(flag.read()?);
        }
        variables.extend(runtime.variables.iter().cloned());
        let of_application = |(name, value): (String, String)| {
            Some((name.strip_prefix(PREFIX)?.to_lowercase(), value))
        };
        variables.extend(environment.filter_map(of_application));
        variables.extend(
            dotenv(&directory.join(".env"))?
                .into_iter()
                .filter_map(of_application),
        );
        Ok(Settings {
            variables,
            environment: self.environment,
            profile: self.profile,
            runtime,
        })
    }
}

fn dotenv(path: &Path) -> Result<Vec<(String, String)>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("cannot read {}", path.display());
    let entries = dotenvy::from_path_iter(path).with_context(unreadable)?;
    match entries.collect::<Result<_, _>>() {
        Ok(entries) => Ok(entries),
        // The error shows the line, which may be a secret.
        Err(dotenvy::Error::LineParse(_, position)) => {
            bail!(
                "{}: a line is not NAME=VALUE (character {position})",
                path.display()
            )
        }
        Err(error) => Err(error).with_context(unreadable),
    }
}
