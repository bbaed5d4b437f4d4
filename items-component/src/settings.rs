//! The component's own variables. Those of telemetry belong to `request_telemetry`.

/// The variable that allows faults.
pub const FAULT_INJECTION: &str = "fault_injection";
/// The variable that chooses the database.
pub const STORE: &str = "store";
/// The variable with the address of PostgreSQL and a password.
pub const POSTGRES_URL: &str = "postgres_url";

/// The component's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether requests may ask for faults.
    pub fault_injection: bool,
    /// The database of the items.
    pub store: StoreSettings,
}

/// The database of the items.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreSettings {
    /// The component's default SQLite database.
    Sqlite,
    /// PostgreSQL.
    Postgres {
        /// The address, with a password.
        url: String,
    },
}

/// A variable that is missing or invalid. The value of a secret is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The host did not return the variable.
    #[error("variable {name:?} cannot be read: {reason}")]
    Unreadable {
        /// The variable.
        name: &'static str,
        /// The host's reason.
        reason: String,
    },
    /// The variable has an invalid value.
    #[error("variable {name:?} is {value:?}; expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// The value that it has.
        value: String,
        /// The values that it may have.
        expected: &'static str,
    },
    /// PostgreSQL is chosen without an address.
    #[error("variable {POSTGRES_URL:?} is empty, but {STORE:?} is \"postgres\"")]
    NoPostgresUrl,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// If one is missing or has an invalid value.
    pub async fn read(
        get: impl AsyncFn(&'static str) -> Result<String, String>,
    ) -> Result<Self, SettingsError> {
        let get = async |name| {
            let value = get(name).await;
            value.map_err(|reason| SettingsError::Unreadable { name, reason })
        };
        let invalid = |name, value, expected| SettingsError::Invalid {
            name,
            value,
            expected,
        };
        let fault_injection = get(FAULT_INJECTION).await?;
        let fault_injection = match &*fault_injection {
            "on" => true,
            "off" => false,
            _ => return Err(invalid(FAULT_INJECTION, fault_injection, "on or off")),
        };
        let store = get(STORE).await?;
        let store = match &*store {
            "sqlite" => StoreSettings::Sqlite,
            "postgres" => StoreSettings::Postgres {
                url: Some(get(POSTGRES_URL).await?)
                    .filter(|url| !url.is_empty())
                    .ok_or(SettingsError::NoPostgresUrl)?,
            },
            _ => return Err(invalid(STORE, store, "sqlite or postgres")),
        };
        Ok(Self {
            fault_injection,
            store,
        })
    }
}

impl std::fmt::Debug for StoreSettings {
    /// Leaves out the address, which has a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "Sqlite",
            Self::Postgres { .. } => "Postgres",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let get = async |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            let value = found.map(|(_, value)| (*value).to_owned());
            value.ok_or_else(|| "undefined".to_owned())
        };
        block_on(Settings::read(get)).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_are_read_as_documented() {
        let sqlite = read(&[(FAULT_INJECTION, "on"), (STORE, "sqlite")]).unwrap();
        assert!(sqlite.fault_injection);
        assert_eq!(sqlite.store, StoreSettings::Sqlite);
        let url = "postgres://items@db/items";
        let variables = [
            (FAULT_INJECTION, "off"),
            (STORE, "postgres"),
            (POSTGRES_URL, url),
        ];
        let postgres = read(&variables).unwrap();
        assert_eq!(postgres.store, StoreSettings::Postgres { url: url.into() });
        assert!(!format!("{postgres:?}").contains("items@db"));
    }

    #[test]
    fn a_missing_variable_and_an_invalid_value_are_named() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (
                &[],
                r#"variable "fault_injection" cannot be read: undefined"#,
            ),
            (
                &[(FAULT_INJECTION, "yes")],
                r#"variable "fault_injection" is "yes"; expected on or off"#,
            ),
            (
                &[(FAULT_INJECTION, "off"), (STORE, "mysql")],
                r#"variable "store" is "mysql"; expected sqlite or postgres"#,
            ),
            (
                &[(FAULT_INJECTION, "off"), (STORE, "postgres")],
                r#"variable "postgres_url" cannot be read: undefined"#,
            ),
            (
                &[
                    (FAULT_INJECTION, "off"),
                    (STORE, "postgres"),
                    (POSTGRES_URL, ""),
                ],
                r#"variable "postgres_url" is empty, but "store" is "postgres""#,
            ),
        ];
        for (variables, expected) in cases {
            assert_eq!(read(variables).unwrap_err(), expected);
        }
    }
}
