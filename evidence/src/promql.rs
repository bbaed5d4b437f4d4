//! Alert expressions as trees: the series that they read, and their comparison.

use anyhow::{Result, anyhow, ensure};
use promql_parser::{
    parser::{Expr, parse},
    util::visitor::{ExprVisitor, ExprVisitorMut, walk_expr, walk_expr_mut},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

/// Recording rules: the name of each series, and its expression.
pub type Recorded = BTreeMap<String, String>;

/// Parses an expression.
///
/// # Errors
/// If it is not PromQL.
pub fn tree(expression: &str) -> Result<Expr> {
    parse(expression).map_err(|reason| anyhow!("not PromQL: {reason} in {expression:?}"))
}

/// Replaces recorded series by the expressions of their rules, so that scraped samples alone can answer it.
///
/// # Errors
/// If an expression is not PromQL, or narrows a recorded series down.
pub fn expanded(expression: &str, recorded: &Recorded) -> Result<Expr> {
    struct Expand<'a>(&'a Recorded);
    impl ExprVisitorMut for Expand<'_> {
        type Error = anyhow::Error;

        fn pre_visit(&mut self, expression: &mut Expr) -> Result<bool> {
            if let Expr::VectorSelector(selector) = expression
                && let Some(rule) = selector.name.as_ref().and_then(|name| self.0.get(name))
            {
                let plain = selector.matchers.is_empty_matchers() && selector.offset.is_none();
                ensure!(plain, "{selector} is a part of a recorded series");
                *expression = tree(&format!("({rule})"))?;
            }
            Ok(true)
        }
    }
    let mut expanded = tree(expression)?;
    walk_expr_mut(&mut Expand(recorded), &mut expanded)?;
    Ok(expanded)
}

struct Selectors(BTreeSet<String>);

impl ExprVisitor for Selectors {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => _ = self.0.insert(selector.to_string()),
            Expr::MatrixSelector(matrix) => _ = self.0.insert(matrix.vs.to_string()),
            _ => {}
        }
        Ok(true)
    }
}

/// Returns the selectors of the series that an expression reads.
pub fn selectors(expression: &Expr) -> BTreeSet<String> {
    let mut found = Selectors(BTreeSet::new());
    let Ok(_) = walk_expr(&mut found, expression);
    found.0
}

/// Splits an alert's expression at its first comparison: the expression that a person watches, and the operator with
/// its constant. The second is empty if there is no constant.
pub fn split_comparison(expression: &Expr) -> (String, String) {
    match expression {
        Expr::Paren(paren) => split_comparison(&paren.expr),
        Expr::Binary(binary) if binary.op.is_set_operator() => split_comparison(&binary.lhs),
        Expr::Binary(binary) if binary.op.is_comparison_operator() => {
            let constant = selectors(&binary.rhs).is_empty();
            let comparison = constant.then(|| format!("{} {}", binary.op, binary.rhs));
            (binary.lhs.to_string(), comparison.unwrap_or_default())
        }
        other => (other.to_string(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_series_is_read_by_its_own_expression() {
        let recorded = [
            ("a:ratio", "a:errors / (a:all > 0)"),
            ("a:errors", r#"sum by (job) (rate(x{s=~"5.."}[5m]))"#),
            ("a:all", "sum by (job) (rate(x[1h]))"),
        ];
        let recorded = recorded.map(|(name, rule)| (name.to_owned(), rule.to_owned()));
        let recorded = Recorded::from(recorded);
        let expanded = expanded("a:ratio > 0.1 and up == 1", &recorded).unwrap();
        let selectors = Vec::from_iter(selectors(&expanded));
        assert_eq!(selectors, ["up", "x", r#"x{s=~"5.."}"#]);
        assert!(tree(&expanded.to_string()).unwrap() == expanded);
        assert!(super::expanded(r#"a:all{job="x"} > 1"#, &recorded).is_err());
    }

    #[test]
    fn series_are_found_wherever_they_stand() {
        let expression = "-(q + (a + a)) or histogram_quantile(0.9, rate(b[2m])) or 0 * absent(c)";
        let found = selectors(&tree(expression).unwrap());
        let error = tree("sum(").unwrap_err().to_string();
        assert!(error.contains("\"sum(\""), "{error}");
        assert_eq!(Vec::from_iter(found), ["a", "b", "c", "q"]);
    }

    #[test]
    fn the_first_comparison_is_the_one_to_watch() {
        for (rule, expression, comparison) in [
            ("a / b > 0.05 and b > 0.5", "a / b", "> 0.05"),
            ("(sum(a) < 0.05) or 0 * absent(a)", "sum(a)", "< 0.05"),
            ("a > 14.4 * 0.001 and b > 1", "a", "> 14.4 * 0.001"),
            ("a > b", "a", ""),
            ("vector(1)", "vector(1)", ""),
        ] {
            let (found, compared) = split_comparison(&tree(rule).unwrap());
            assert_eq!((&*found, &*compared), (expression, comparison));
        }
    }
}
