//! Parses query and body into typed input.

use crate::{
    error::ApiError,
    item::{ItemName, NameError},
};
use serde_json::Value;

/// Maximum size of a body in bytes.
pub const MAX_BODY: usize = 64 << 10;
/// Default number of items on a page.
pub const DEFAULT_LIMIT: u32 = 100;
/// Maximum number of items on a page.
pub const MAX_LIMIT: u32 = 1000;

/// A page of the item list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Exclusive lower bound of the ids.
    pub after: i64,
    /// Maximum number of items.
    pub limit: u32,
}

/// The reason why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The body exceeds the limit.
    TooLarge,
    /// The connection broke before the body ended.
    Unreadable,
}

impl Page {
    /// Parses `limit` and `after` of a query; other parameters are ignored.
    ///
    /// # Errors
    /// If a parameter is out of range or given twice.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let (mut limit, mut after) = (None, None);
        for (name, value) in query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        {
            match name {
                "limit" => {
                    let number = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    let number = number.ok_or_else(|| {
                        ApiError::BadParameter(format!(
                            "limit must be a whole number from 1 to {MAX_LIMIT}"
                        ))
                    })?;
                    set_once(&mut limit, "limit", number)?;
                }
                "after" => {
                    let number = value.parse().ok().filter(|after| *after >= 0);
                    let number = number.ok_or_else(|| {
                        ApiError::BadParameter(
                            "after must be the id of an item, or the value of next".into(),
                        )
                    })?;
                    set_once(&mut after, "after", number)?;
                }
                _ => {}
            }
        }
        Ok(Self {
            after: after.unwrap_or(0),
            limit: limit.unwrap_or(DEFAULT_LIMIT),
        })
    }
}

fn set_once<T>(parameter: &mut Option<T>, name: &str, value: T) -> Result<(), ApiError> {
    match parameter.replace(value) {
        None => Ok(()),
        Some(_) => Err(ApiError::BadParameter(format!("{name} is given twice"))),
    }
}

/// Requires a `Content-Type` of JSON; parameters such as the charset are allowed.
///
/// # Errors
/// If it is another type, or missing.
pub fn require_json(content_type: Option<&str>) -> Result<(), ApiError> {
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(ApiError::ContentType)
    }
}

/// Parses `{"name": "…"}`; other members are ignored.
///
/// # Errors
/// If `body` is anything else, or the name is invalid.
pub fn parse_name(body: &[u8]) -> Result<ItemName, ApiError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::MalformedJson(error.to_string()))?;
    let Value::Object(members) = value else {
        return Err(ApiError::NotAnObject);
    };
    match members.get("name") {
        None | Some(Value::Null) => Err(NameError::Missing.into()),
        Some(Value::String(name)) => Ok(ItemName::parse(name)?),
        Some(_) => Err(ApiError::NameNotString),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_parses_to_a_page() {
        let page = |query| {
            Page::parse(query)
                .map(|page| (page.after, page.limit))
                .map_err(|error| error.to_string())
        };
        assert_eq!(page(""), Ok((0, 100)));
        assert_eq!(page("after=7&limit=1000&other=x"), Ok((7, 1000)));
        for query in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=",
            "limit=x",
            "limit",
        ] {
            assert_eq!(
                page(query),
                Err("limit must be a whole number from 1 to 1000".into()),
                "{query}"
            );
        }
        assert!(page("after=-1").is_err());
        assert_eq!(page("limit=1&limit=2"), Err("limit is given twice".into()));
    }

    #[test]
    fn each_invalid_body_has_its_own_message() {
        let message = |body: &str| parse_name(body.as_bytes()).unwrap_err().to_string();
        assert!(message("{").starts_with("malformed JSON: "));
        assert!(message("\u{ff}").starts_with("malformed JSON: "));
        assert_eq!(message("[]"), "body must be a JSON object");
        assert_eq!(message("{}"), "name is required");
        assert_eq!(message(r#"{"name": null}"#), "name is required");
        assert_eq!(message(r#"{"name": "  "}"#), "name is required");
        assert_eq!(message(r#"{"name": 7}"#), "name must be a string");
        assert_eq!(
            message(r#"{"name": "a\u0000"}"#),
            "name contains a control character"
        );
        assert_eq!(
            parse_name(br#"{"name": " demo ", "more": 1}"#)
                .unwrap()
                .as_str(),
            "demo"
        );
    }

    #[test]
    fn only_json_is_accepted() {
        for accepted in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(require_json(Some(accepted)).is_ok(), "{accepted}");
        }
        for refused in [
            None,
            Some("text/plain"),
            Some("application/jsonx"),
            Some(""),
        ] {
            assert!(require_json(refused).is_err(), "{refused:?}");
        }
    }
}
