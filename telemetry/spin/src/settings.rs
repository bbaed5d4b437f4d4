//! The variables that choose how a component reports.

/// The party that counts the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A sidecar, which receives batches over OTLP/HTTP.
    Otlp {
        /// `host:port` of the sidecar.
        host: String,
    },
    /// The host or proxy in front; the component adds headers to its responses.
    Inline,
    /// The component reports nothing.
    Off,
}

/// A variable that is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The host did not return the variable.
    #[error("variable {name:?} cannot be read: {reason}")]
    Unreadable { name: &'static str, reason: String },
    /// The variable has an invalid value.
    #[error("variable \"telemetry\" is {0:?}; expected otlp, inline or off")]
    Invalid(String),
}

impl Mode {
    /// Reads `telemetry` and, where it is needed, `telemetry_host`.
    pub(crate) async fn read(
        get: impl AsyncFn(&'static str) -> Result<String, String>,
    ) -> Result<Self, SettingsError> {
        let get = async |name| {
            let value = get(name).await;
            value.map_err(|reason| SettingsError::Unreadable { name, reason })
        };
        match &*get("telemetry").await? {
            "otlp" => Ok(Self::Otlp {
                host: get("telemetry_host").await?,
            }),
            "inline" => Ok(Self::Inline),
            "off" => Ok(Self::Off),
            other => Err(SettingsError::Invalid(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn read(telemetry: &str) -> Result<Mode, String> {
        let get = async |name| match name {
            "telemetry" => Ok(telemetry.to_owned()),
            _ => Err("undefined".to_owned()),
        };
        let mut read = pin!(Mode::read(get));
        let Poll::Ready(mode) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing to wait for");
        };
        mode.map_err(|error| error.to_string())
    }

    #[test]
    fn an_invalid_value_and_a_missing_variable_are_named() {
        assert_eq!(read("inline"), Ok(Mode::Inline));
        assert_eq!(read("off"), Ok(Mode::Off));
        assert_eq!(
            read("otpl").unwrap_err(),
            r#"variable "telemetry" is "otpl"; expected otlp, inline or off"#
        );
        assert_eq!(
            read("otlp").unwrap_err(),
            r#"variable "telemetry_host" cannot be read: undefined"#
        );
    }
}
