//! HTTP methods as a closed set: clients cannot invent label values.

/// The methods of RFC 9110, and PATCH of RFC 5789.
pub const KNOWN: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Every other method, as OpenTelemetry's semantic conventions spell it.
pub const OTHER: &str = "_OTHER";

/// Returns `method` if it is known, else [`OTHER`]. Methods are case-sensitive.
pub fn normalize(method: &str) -> &'static str {
    KNOWN
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_is_other() {
        assert_eq!(normalize("GET"), "GET");
        assert_eq!(normalize("get"), OTHER);
        assert_eq!(normalize("BREW"), OTHER);
    }
}
