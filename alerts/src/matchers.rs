//! Rules that read only the series that matchers select, and keep their labels.
//!
//! In a cluster one Prometheus evaluates the rules of every release. Without the label `namespace`, those of two namespaces
//! would add up each other's requests, and record the same series twice.

use crate::Matcher;

const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// Returns a rules file whose expressions have the matchers and their labels everywhere. Comments and all else stay as they are.
pub(crate) fn confine(rules: &str, to: &[Matcher]) -> String {
    if to.is_empty() {
        return rules.to_owned();
    }

    let mut confined = String::with_capacity(rules.len() * 5 / 4);
    // Indentation of the key `expr`, inside its block.
    let mut block = None;
    for line in rules.lines() {
        let text = line.trim_start();
        let indentation = line.len() - text.len();
        if block.is_some_and(|key| indentation <= key && !text.is_empty()) {
            block = None;
        }
        match text.split_once("expr: ") {
            _ if block.is_some() => confined += &confine_line(line, to),
            Some(("", "|")) => {
                block = Some(indentation);
                confined += line;
            }
            Some(("", expression)) => {
                confined += &line[..indentation];
                confined += "expr: ";
                confined += &confine_line(expression, to);
            }
            _ => confined += line,
        }
        confined.push('\n');
    }
    confined
}

/// Confines one line of an expression. No name, string or list of labels spans two.
pub(crate) fn confine_line(line: &str, to: &[Matcher]) -> String {
    if to.is_empty() {
        return line.to_owned();
    }
    let labels: Vec<_> = to.iter().map(|matcher| &*matcher.label).collect();
    let labels = labels.join(", ");
    let matchers = to.iter();
    let matchers = matchers.map(|Matcher { label, condition }| format!("{label}{condition}"));
    let matchers = matchers.collect::<Vec<_>>().join(", ");
    let mut confined = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '#' => rest.len(),
            '"' => string(rest),
            '[' => 1 + rest.find(']').unwrap_or(rest.len() - 1),
            // A placeholder of the chart.
            '$' => 1 + rest.find('}').unwrap_or(rest.len() - 1),
            '0'..='9' => word(rest),
            _ if is_word(next) => word(rest),
            _ => next.len_utf8(),
        };
        let token;
        (token, rest) = rest.split_at(length);
        confined += token;
        let follows = rest.trim_start();
        if !token.starts_with(|c: char| c.is_ascii_alphabetic()) || OPERATORS.contains(&token) {
            continue;
        }
        if let Some(list) = follows.strip_prefix('(') {
            // `on ()` joins everything with everything.
            if ["by", "on"].contains(&token) && !list.starts_with(')') {
                confined += &format!(" ({labels}, ");
                rest = list;
            }
            rest = past_labels(token, rest, &mut confined);
        } else if let Some(others) = rest.strip_prefix('{') {
            confined += &format!("{{{matchers}, ");
            let end = braces(others);
            confined += &others[..end];
            rest = &others[end..];
        } else if !["by", "without"].contains(&&follows[..word(follows)]) {
            confined += &format!("{{{matchers}}}");
        }
    }
    confined
}

/// Copies the list of labels behind `token`, if one follows: they are no metrics.
fn past_labels<'a>(token: &str, rest: &'a str, confined: &mut String) -> &'a str {
    let lists = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    ];
    if !lists.contains(&token) {
        return rest;
    }
    let end = rest.find(')').unwrap_or(rest.len());
    *confined += &rest[..end];
    &rest[end..]
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_:.".contains(character)
}

/// Returns the length of the word, number or duration that `text` begins with.
fn word(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Returns the length of the string that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Returns the length of the matchers before the closing brace.
fn braces(text: &str) -> usize {
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        at += match next {
            '}' => return at,
            '"' => string(&text[at..]),
            _ => next.len_utf8(),
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: &str = r#"namespace="shop""#;

    fn namespace() -> [Matcher; 1] {
        ["namespace=shop".parse().unwrap()]
    }

    #[test]
    fn each_metric_and_each_grouping_gets_the_label() {
        for (expression, confined) in [
            ("up", "up{NS}"),
            ("up == 0 # x of y", "up{NS} == 0 # x of y"),
            ("up > ${limit} * 2", "up{NS} > ${limit} * 2"),
            (r#"a{b="}#"}[5m]"#, r#"a{NS, b="}#"}[5m]"#),
            (
                r#"sum by (job) (rate(a{b=~"\"x"}[5m] offset 10m)) > 1e3"#,
                r#"sum by (namespace, job) (rate(a{NS, b=~"\"x"}[5m] offset 10m)) > 1e3"#,
            ),
            (
                "a:b_c:rate5m * 14.4 and on (job) b",
                "a:b_c:rate5m{NS} * 14.4 and on (namespace, job) b{NS}",
            ),
            (
                "0 * (absent_over_time(a[1h]) unless on () count(b))",
                "0 * (absent_over_time(a{NS}[1h]) unless on () count(b{NS}))",
            ),
            (
                "a / on (b) group_left (c) sum without (d) (e)",
                "a{NS} / on (namespace, b) group_left (c) sum without (d) (e{NS})",
            ),
        ] {
            let expected = confined.replace("NS", NAMESPACE);
            assert_eq!(confine_line(expression, &namespace()), expected);
        }
    }

    #[test]
    fn several_matchers_keep_several_labels() {
        let matchers = ["namespace=shop", "cluster=~a|b"].map(|text| text.parse().unwrap());
        assert_eq!(
            confine_line("sum by (job) (up) / on () vector(1)", &matchers),
            r#"sum by (namespace, cluster, job) (up{namespace="shop", cluster=~"a|b"}) / on () vector(1)"#
        );
    }

    #[test]
    fn only_expressions_are_changed() {
        let rules =
            "- alert: Up\n  expr: |\n    # up\n    up\n\n  for: 5m\n- record: a\n  expr: b\n";
        let expected = format!(
            "- alert: Up\n  expr: |\n    # up\n    up{{{NAMESPACE}}}\n\n  for: 5m\n- record: a\n  expr: b{{{NAMESPACE}}}\n"
        );
        assert_eq!(confine(rules, &namespace()), expected);
        assert_eq!(confine(rules, &[]), rules);
    }
}
