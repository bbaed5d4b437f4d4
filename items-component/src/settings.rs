//! The component's variables.

/// The party that counts the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TelemetryMode {
    /// A sidecar, which receives batches over OTLP/HTTP.
    Otlp {
        /// `host:port` of the sidecar.
        host: String,
    },
    /// The host; the component adds headers to its responses.
    Inline,
    /// The component reports nothing.
    Off,
}

/// The validated variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `telemetry` and `telemetry_host`.
    pub telemetry: TelemetryMode,
    /// `fault_injection`.
    pub fault_injection: bool,
}

/// A variable that is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The host did not return the variable.
    #[error("variable {name:?} cannot be read: {reason}")]
    Unreadable {
        /// Name of the variable.
        name: &'static str,
        /// The host's error.
        reason: String,
    },
    /// The variable has an invalid value.
    #[error("variable {name:?} is {value:?}; expected {expected}")]
    Invalid {
        /// Name of the variable.
        name: &'static str,
        /// The value.
        value: String,
        /// The valid values.
        expected: &'static str,
    },
}

impl Settings {
    /// Validates the variables.
    ///
    /// # Errors
    /// If a value is invalid.
    pub fn parse(
        telemetry: &str,
        telemetry_host: &str,
        fault_injection: &str,
    ) -> Result<Self, SettingsError> {
        let invalid = |name, value: &str, expected| SettingsError::Invalid {
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
                other => return Err(invalid("telemetry", other, "otlp, inline or off")),
            },
            fault_injection: match fault_injection {
                "on" => true,
                "off" => false,
                other => return Err(invalid("fault_injection", other, "on or off")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_value_is_named() {
        assert!(Settings::parse("otlp", "127.0.0.1:4318", "off").is_ok());
        let error = Settings::parse("otpl", "", "off").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"variable "telemetry" is "otpl"; expected otlp, inline or off"#
        );
        assert!(Settings::parse("off", "", "yes").is_err());
    }
}
