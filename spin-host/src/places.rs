//! Files of databases and key-value stores: those of the runtime config, and others in the state directory.

use anyhow::{Context, Result};
use spin_manifest::{Location, RuntimeConfig};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folder of databases that are empty at each start.
const EPHEMERAL: &str = "ephemeral";
/// The file of all key-value stores. No database of a manifest has a dot in its name.
const KEY_VALUES: &str = "key.value.sqlite";

/// Places of an application's databases and key-value stores.
pub(crate) struct Places<'a> {
    state: &'a Path,
    config: &'a RuntimeConfig,
}

impl<'a> Places<'a> {
    /// Clears what does not outlive a start, and creates the folders that the configuration names.
    ///
    /// # Errors
    /// Fails if that cannot be done.
    pub(crate) fn new(state: &'a Path, config: &'a RuntimeConfig) -> Result<Self> {
        let ephemeral = state.join(EPHEMERAL);
        match fs::remove_dir_all(&ephemeral) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot clear {}", ephemeral.display()));
            }
            _ => {}
        }
        let places = config
            .databases
            .values()
            .chain(config.key_value_stores.values());
        let folders = places.filter_map(|location| match location {
            Location::File(path) => path.parent(),
            Location::Memory => Some(&*ephemeral),
        });
        for folder in folders {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(Self { state, config })
    }

    /// Returns the file of a database.
    pub(crate) fn database(&self, label: &str) -> PathBuf {
        let name = format!("{label}.sqlite");
        match self.config.databases.get(label) {
            Some(Location::File(path)) => path.clone(),
            Some(Location::Memory) => self.state.join(EPHEMERAL).join(name),
            None => self.state.join(name),
        }
    }

    /// Returns the file of a key-value store.
    pub(crate) fn key_value_store(&self, label: &str) -> PathBuf {
        match self.config.key_value_stores.get(label) {
            Some(Location::File(path)) => path.clone(),
            Some(Location::Memory) => self
                .state
                .join(EPHEMERAL)
                .join(format!("{label}.key.value.sqlite")),
            None => self.state.join(KEY_VALUES),
        }
    }
}
