//! The component's variables.

/// Who counts the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TelemetryMode {
    /// A sidecar, to which batches are sent over OTLP/HTTP.
    Otlp {
        /// Its `host:port`.
        host: String,
    },
    /// The host, which is told what it cannot know.
    Inline,
    /// Nobody, as far as the component is concerned.
    Off,
}

/// The variables, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `telemetry` and `telemetry_host`.
    pub telemetry: TelemetryMode,
    /// `fault_injection`.
    pub fault_injection: bool,
}

/// A variable that is missing or has a value that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It could not be read.
    #[error("variable {name:?} cannot be read: {reason}")]
    Unreadable {
        /// Its name.
        name: &'static str,
        /// What the host said.
        reason: String,
    },
    /// Its value is not known.
    #[error("variable {name:?} is {value:?}; expected {expected}")]
    Unknown {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
}

impl Settings {
    /// Checks the values of the variables `telemetry`, `telemetry_host` and `fault_injection`.
    ///
    /// # Errors
    /// If one of them is not known.
    pub fn parse(
        telemetry: &str,
        telemetry_host: &str,
        fault_injection: &str,
    ) -> Result<Self, SettingsError> {
        let unknown = |name, value: &str, expected| SettingsError::Unknown {
            name,
            value: value.to_owned(),
            expected,
        };
        Ok(Self {
            telemetry: match telemetry {
                "otlp" => TelemetryMode::Otlp {
                    host: telemetry_host.to_owned(),
                },
                "inline" => TelemetryMode::Inline,
                "off" => TelemetryMode::Off,
                other => return Err(unknown("telemetry", other, "otlp, inline or off")),
            },
            fault_injection: match fault_injection {
                "on" => true,
                "off" => false,
                other => return Err(unknown("fault_injection", other, "on or off")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_value_is_named() {
        assert!(Settings::parse("otlp", "127.0.0.1:4318", "off").is_ok());
        let error = Settings::parse("otpl", "", "off").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"variable "telemetry" is "otpl"; expected otlp, inline or off"#
        );
        assert!(Settings::parse("off", "", "yes").is_err());
    }
}
