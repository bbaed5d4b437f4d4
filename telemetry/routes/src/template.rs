//! Route templates and request paths, in the form in which they are compared.

use std::{borrow::Cow, sync::Arc};

/// Bytes that stay encoded: they would separate segments, or begin a parameter of the router.
const KEPT: [u8; 3] = *b"/<>";

/// A route template.
pub(crate) struct Template {
    /// The template as its file has it: the label.
    pub(crate) text: Arc<str>,
    /// The same in the router's syntax, with numbers for names: templates with equal patterns match the same paths.
    pub(crate) pattern: String,
}

/// A reason why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is relative.
    #[error("a path begins with /")]
    Relative,
    /// The template goes on behind the path.
    #[error("a path ends before ? and #")]
    BehindPath,
    /// The template has a control character.
    #[error("it has a control character")]
    Control,
    /// A brace without its counterpart.
    #[error("a {{ or }} has no counterpart")]
    Brace,
    /// The name of a parameter is empty, or more than a name.
    #[error(
        "{{{0}}} is not a parameter; write {{id}} for one segment or a part of one, {{*path}} for any number"
    )]
    Name(String),
    /// Nothing separates two parameters.
    #[error("nothing separates two parameters")]
    Touching,
    /// The template is in the syntax of another router.
    #[error(
        "{0:?} would match only itself; write {{id}} for a parameter, {{*path}} for a catch-all"
    )]
    Foreign(String),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::Relative);
        }
        if text.contains(['?', '#']) {
            return Err(TemplateError::BehindPath);
        }
        if text.contains(char::is_control) {
            return Err(TemplateError::Control);
        }
        let mut pattern = String::new();
        let mut rest = text;
        let mut parameters = 0;
        while let Some((literal, parameter)) = rest.split_once('{') {
            let (name, after) = parameter.split_once('}').ok_or(TemplateError::Brace)?;
            if literal.is_empty() {
                return Err(TemplateError::Touching);
            }
            push_literal(&mut pattern, literal)?;
            let is_catch_all = is_catch_all(name)?;
            let star = if is_catch_all { "*" } else { "" };
            pattern.push_str(&format!("<{star}{parameters}>"));
            parameters += 1;
            rest = after;
        }
        push_literal(&mut pattern, rest)?;
        Ok(Self {
            text: text.into(),
            pattern,
        })
    }
}

fn push_literal(pattern: &mut String, literal: &str) -> Result<(), TemplateError> {
    if literal.contains('}') {
        return Err(TemplateError::Brace);
    }
    if literal.contains(['<', '>']) {
        return Err(TemplateError::Foreign(literal.to_owned()));
    }
    pattern.push_str(&decode(literal));
    Ok(())
}

/// Returns whether `{name}` matches any number of segments: as routers for Rust, Go and Amazon's gateway write it.
fn is_catch_all(name: &str) -> Result<bool, TemplateError> {
    let bare = name.strip_prefix('*').or_else(|| name.strip_suffix("..."));
    let bare = bare.or_else(|| name.strip_suffix('+'));
    let is_name = |name: &str| {
        !name.is_empty() && !name.contains(['{', '/', '*', '+', ':', '=', '<', '>', '?', ' '])
    };
    match is_name(bare.unwrap_or(name)) {
        true => Ok(bare.is_some()),
        false => Err(TemplateError::Name(name.to_owned())),
    }
}

/// Decodes the escapes of a path, but for [`KEPT`]. Bytes that are not UTF-8 become replacement characters.
pub(crate) fn decode(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match byte {
            Some(byte) if KEPT.contains(&byte) => decoded.extend(rest[..3].to_ascii_uppercase()),
            Some(byte) => decoded.push(byte),
            None => decoded.push(*first),
        }
        rest = byte.map_or(after, |_| &rest[3..]);
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
