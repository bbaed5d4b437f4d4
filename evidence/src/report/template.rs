//! Fills in what is generated: between `<!-- generated: NAME -->` and `<!-- end -->` each on a line of its own.

use anyhow::{Context, Result, bail};

const TEMPLATE: &str = include_str!("../../templates/report.md");
const BEGIN: (&str, &str) = ("<!-- generated: ", " -->");
const END: &str = "<!-- end -->";

/// Returns the report, each part that is generated being what `section` returns for its name.
///
/// # Errors
/// Those of `section`, and if the template is not well formed.
pub(super) fn fill(section: impl Fn(&str) -> Result<String>) -> Result<String> {
    fill_in(TEMPLATE, section)
}

fn fill_in(template: &str, section: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut lines = template.lines();
    while let Some(line) = lines.next() {
        filled.push_str(line);
        filled.push('\n');
        let name = line.strip_prefix(BEGIN.0);
        let Some(name) = name.and_then(|rest| rest.strip_suffix(BEGIN.1)) else {
            continue;
        };
        if lines.next() != Some(END) {
            bail!("the part {name:?} of the template has to be empty");
        }
        let text = section(name).with_context(|| format!("the part {name:?} of the report"))?;
        // Without empty lines around it, a table would be part of the comment.
        filled.push('\n');
        filled.push_str(text.trim_end());
        filled.push_str("\n\n");
        filled.push_str(END);
        filled.push('\n');
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_filled_in_between_their_bounds() {
        let template = "# Title\n\n<!-- generated: a b -->\n<!-- end -->\nEnd.\n";
        let filled = fill_in(template, |name| Ok(format!("| {name} |\n"))).unwrap();
        assert_eq!(
            filled,
            "# Title\n\n<!-- generated: a b -->\n\n| a b |\n\n<!-- end -->\nEnd.\n"
        );
    }

    #[test]
    fn a_part_that_is_written_by_hand_is_refused() {
        let template = "<!-- generated: a -->\nby hand\n<!-- end -->\n";
        let error = fill_in(template, |_| Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("\"a\""), "{error}");
    }
}
