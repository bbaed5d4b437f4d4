//! The component's own variable. Those of telemetry belong to `request_telemetry`.

/// Name of the variable that allows faults.
pub const FAULT_INJECTION: &str = "fault_injection";

/// A variable that is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The host did not return the variable.
    #[error("variable {FAULT_INJECTION:?} cannot be read: {0}")]
    Unreadable(String),
    /// The variable has an invalid value.
    #[error("variable {FAULT_INJECTION:?} is {0:?}; expected on or off")]
    Invalid(String),
}

/// Parses `fault_injection`: whether requests may ask for faults.
///
/// # Errors
/// If the value is invalid.
pub fn fault_injection(value: &str) -> Result<bool, SettingsError> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(SettingsError::Invalid(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_value_is_named() {
        assert_eq!(fault_injection("on"), Ok(true));
        let error = fault_injection("yes").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"variable "fault_injection" is "yes"; expected on or off"#
        );
    }
}
