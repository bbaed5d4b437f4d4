//! The metrics and labels that a PromQL expression uses.

use promql_parser::parser::{Expr, VectorSelector, parse};
use std::collections::BTreeSet;

/// A text that is not PromQL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not PromQL: {reason} in {expression:?}")]
pub(crate) struct ExpressionError {
    expression: String,
    reason: String,
}

/// One use of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Name of the metric, with `_bucket`, `_sum` or `_count` if it is part of a histogram.
    pub(crate) metric: String,
    /// Conditions on its labels.
    pub(crate) matchers: Vec<Matcher>,
    /// Labels by which the selected series are grouped or joined.
    pub(crate) grouping: BTreeSet<String>,
}

impl Selector {
    /// Returns the labels that the metric must have: matched, grouped by or joined on.
    pub(crate) fn labels(&self) -> BTreeSet<&str> {
        let matched = self.matchers.iter().map(|matcher| &*matcher.label);
        matched
            .chain(self.grouping.iter().map(String::as_str))
            .collect()
    }
}

/// A condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    /// The label.
    pub(crate) label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub(crate) operator: String,
    /// The value it is compared with.
    pub(crate) value: String,
}

/// Returns every use of a metric in `expression`, in the order of its text.
///
/// # Errors
/// If it does not parse, or selects series without a name.
pub(crate) fn selectors(expression: &str) -> Result<Vec<Selector>, ExpressionError> {
    let error = |reason| ExpressionError {
        expression: expression.to_owned(),
        reason,
    };
    let parsed = parse(expression).map_err(error)?;
    let mut found = Vec::new();
    collect(&parsed, &BTreeSet::new(), &mut found).map_err(error)?;
    Ok(found)
}

fn collect(
    expression: &Expr,
    grouping: &BTreeSet<String>,
    found: &mut Vec<Selector>,
) -> Result<(), String> {
    match expression {
        Expr::VectorSelector(selector) => found.push(selector_of(selector, grouping)?),
        Expr::MatrixSelector(matrix) => found.push(selector_of(&matrix.vs, grouping)?),
        Expr::Aggregate(aggregate) => {
            let mut inner = grouping.clone();
            if let Some(modifier) = &aggregate.modifier {
                inner.extend(modifier.labels().labels.iter().cloned());
            }
            if let Some(parameter) = &aggregate.param {
                collect(parameter, &BTreeSet::new(), found)?;
            }
            collect(&aggregate.expr, &inner, found)?;
        }
        Expr::Binary(binary) => {
            let mut inner = grouping.clone();
            if let Some(matching) = binary.modifier.as_ref().and_then(|by| by.matching.as_ref()) {
                inner.extend(matching.labels().labels.iter().cloned());
            }
            collect(&binary.lhs, &inner, found)?;
            collect(&binary.rhs, &inner, found)?;
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                collect(argument, grouping, found)?;
            }
        }
        Expr::Unary(unary) => collect(&unary.expr, grouping, found)?,
        Expr::Paren(paren) => collect(&paren.expr, grouping, found)?,
        Expr::Subquery(subquery) => collect(&subquery.expr, grouping, found)?,
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
    Ok(())
}

fn selector_of(selector: &VectorSelector, grouping: &BTreeSet<String>) -> Result<Selector, String> {
    let matchers = selector.matchers.matchers.iter();
    Ok(Selector {
        metric: selector
            .name
            .clone()
            .ok_or_else(|| format!("{selector} names no metric"))?,
        matchers: matchers
            .map(|matcher| Matcher {
                label: matcher.name.clone(),
                operator: matcher.op.to_string(),
                value: matcher.value.clone(),
            })
            .collect(),
        grouping: grouping.clone(),
    })
}

/// Returns the expression of a Grafana panel with its variables filled in, so that it is PromQL: `$__interval` and
/// `$__rate_interval` as five minutes, `$__range` as an hour, any other as a regular expression for everything.
pub(crate) fn without_variables(panel: &str) -> String {
    let mut filled = String::with_capacity(panel.len());
    let mut rest = panel;
    while let Some(start) = rest.find('$') {
        filled.push_str(&rest[..start]);
        let variable = &rest[start + 1..];
        let (name, end) = match variable.strip_prefix('{') {
            Some(braced) => {
                let end = braced.find('}').unwrap_or(braced.len());
                let name = braced[..end].split(':').next().unwrap_or_default();
                (name, (end + 2).min(variable.len()))
            }
            None => {
                let end = variable
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(variable.len());
                (&variable[..end], end)
            }
        };
        filled.push_str(match name {
            // The end of a regular expression.
            "" => "$",
            "__interval" | "__rate_interval" => "5m",
            "__range" => "1h",
            _ => ".*",
        });
        rest = &variable[end..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expression: &str) -> Vec<(String, Vec<String>)> {
        let selectors = selectors(expression).unwrap().into_iter();
        selectors
            .map(|selector| {
                let labels = selector.labels().into_iter().map(str::to_owned).collect();
                (selector.metric, labels)
            })
            .collect()
    }

    #[test]
    fn metrics_are_found_wherever_they_stand() {
        let expression = r#"
            # a comment
            histogram_quantile(0.9, sum by (le) (rate(h_bucket{a="1"}[5m]))) > 0.5
            and on (job) max_over_time((x - y offset 1h)[1h:5m]) unless -absent(z{b!~"c"})
        "#;
        let expected: [(&str, &[&str]); 4] = [
            ("h_bucket", &["a", "job", "le"]),
            ("x", &["job"]),
            ("y", &["job"]),
            ("z", &["b"]),
        ];
        let expected = expected.map(|(metric, labels)| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            (metric.to_owned(), labels)
        });
        assert_eq!(found(expression), expected);
    }

    #[test]
    fn matchers_are_told_as_written() {
        let selector = &selectors(r#"a{b!~"c|d"}"#).unwrap()[0];
        let expected = Matcher {
            label: "b".into(),
            operator: "!~".into(),
            value: "c|d".into(),
        };
        assert_eq!(selector.matchers, [expected]);
    }

    #[test]
    fn what_is_no_promql_is_an_error_with_its_text() {
        let error = selectors("sum(").unwrap_err().to_string();
        assert!(error.contains("\"sum(\""), "{error}");
        assert!(selectors(r#"{job="x"}"#).is_err());
    }

    #[test]
    fn variables_of_panels_are_filled_in() {
        let panel = r#"rate(a{i=~"$instance", e=~"${endpoint:regex}", r=~"x$"}[$__rate_interval])"#;
        assert_eq!(
            without_variables(panel),
            r#"rate(a{i=~".*", e=~".*", r=~"x$"}[5m])"#
        );
        assert_eq!(without_variables("a[$__range]"), "a[1h]");
    }
}
