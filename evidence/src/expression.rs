//! What a rule's expression reads, and what it compares: PromQL as a tree.

use anyhow::{Result, anyhow};
use promql_parser::parser::{Expr, VectorSelector, parse};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Series that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Their name and conditions, as PromQL.
    pub text: String,
    /// How far back it looks.
    pub window: Duration,
    name: String,
}

/// An expression without its comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What is compared.
    pub expression: String,
    /// With what: an operator and a number, as the rule has it; empty if there is none.
    pub comparison: String,
}

/// Returns the series that `expression` reads, in the end: what `recorded` names is read by its own expression.
///
/// # Errors
/// If one of the expressions is no PromQL, or selects series by no name.
pub fn selectors(
    expression: &str,
    recorded: &BTreeMap<String, String>,
) -> Result<BTreeSet<Selector>> {
    let mut found = BTreeSet::new();
    let mut open = vec![(expression.to_owned(), Duration::ZERO)];
    while let Some((expression, before)) = open.pop() {
        let mut read = Vec::new();
        collect(&tree(&expression)?, before, &mut read)?;
        for selector in read {
            match recorded.get(&selector.name) {
                Some(rule) => open.push((rule.clone(), selector.window)),
                None => _ = found.insert(selector),
            }
        }
    }
    Ok(found)
}

/// Returns what the first comparison of `expression` compares, and with what: that is what a person watches.
///
/// # Errors
/// If it is no PromQL.
pub fn without_comparison(expression: &str) -> Result<Compared> {
    let mut part = &tree(expression)?;
    loop {
        part = match part {
            Expr::Paren(paren) => &paren.expr,
            Expr::Binary(binary) if binary.op.is_set_operator() => &binary.lhs,
            Expr::Binary(binary) if binary.op.is_comparison_operator() => {
                let comparison = match is_constant(&binary.rhs) {
                    true => format!("{} {}", binary.op, binary.rhs),
                    false => String::new(),
                };
                return Ok(Compared {
                    expression: binary.lhs.to_string(),
                    comparison,
                });
            }
            other => {
                return Ok(Compared {
                    expression: other.to_string(),
                    comparison: String::new(),
                });
            }
        }
    }
}

fn tree(expression: &str) -> Result<Expr> {
    parse(expression).map_err(|reason| anyhow!("not PromQL: {reason} in {expression:?}"))
}

fn is_constant(expression: &Expr) -> bool {
    match expression {
        Expr::NumberLiteral(_) => true,
        Expr::Paren(paren) => is_constant(&paren.expr),
        Expr::Unary(unary) => is_constant(&unary.expr),
        Expr::Binary(binary) => is_constant(&binary.lhs) && is_constant(&binary.rhs),
        _ => false,
    }
}

fn collect(expression: &Expr, before: Duration, found: &mut Vec<Selector>) -> Result<()> {
    match expression {
        Expr::VectorSelector(selector) => found.push(read(selector, before)?),
        Expr::MatrixSelector(matrix) => found.push(read(&matrix.vs, before + matrix.range)?),
        Expr::Subquery(subquery) => collect(&subquery.expr, before + subquery.range, found)?,
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                collect(parameter, before, found)?;
            }
            collect(&aggregate.expr, before, found)?;
        }
        Expr::Binary(binary) => {
            collect(&binary.lhs, before, found)?;
            collect(&binary.rhs, before, found)?;
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                collect(argument, before, found)?;
            }
        }
        Expr::Unary(unary) => collect(&unary.expr, before, found)?,
        Expr::Paren(paren) => collect(&paren.expr, before, found)?,
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
    Ok(())
}

fn read(selector: &VectorSelector, window: Duration) -> Result<Selector> {
    let name = selector.name.clone();
    Ok(Selector {
        name: name.ok_or_else(|| anyhow!("{selector} names no series"))?,
        text: selector.to_string(),
        window,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(expression: &str, recorded: &[(&str, &str)]) -> Vec<(String, u64)> {
        let recorded = recorded.iter();
        let recorded = recorded.map(|(name, rule)| ((*name).to_owned(), (*rule).to_owned()));
        let found = selectors(expression, &recorded.collect()).unwrap();
        let found = found.into_iter();
        found
            .map(|selector| (selector.text, selector.window.as_secs()))
            .collect()
    }

    #[test]
    fn what_is_recorded_is_read_by_its_own_expression() {
        let recorded = [
            ("a:ratio", "a:errors / (a:all > 0)"),
            ("a:errors", r#"sum by (job) (rate(x{s=~"5.."}[5m]))"#),
            ("a:all", "sum by (job) (rate(x[1h]))"),
        ];
        assert_eq!(
            read("max_over_time(a:ratio[1m]) > 0.1 and up == 1", &recorded),
            [
                ("up".to_owned(), 0),
                ("x".to_owned(), 3660),
                (r#"x{s=~"5.."}"#.to_owned(), 360)
            ]
        );
    }

    #[test]
    fn series_are_found_wherever_they_stand_and_once() {
        let found = read(
            "quantile(scalar(q), -(a + a)) or histogram_quantile(0.9, rate(b[2m]))",
            &[],
        );
        let names: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b", "q"]);
    }

    #[test]
    fn the_first_comparison_is_what_is_watched() {
        for (rule, expression, comparison) in [
            ("a / b > 0.05 and b > 0.5", "a / b", "> 0.05"),
            ("(sum(a) < 0.05) or 0 * absent(a)", "sum(a)", "< 0.05"),
            ("a > 14.4 * 0.001 and b > 1", "a", "> 14.4 * 0.001"),
            ("a > b", "a", ""),
            ("vector(1)", "vector(1)", ""),
        ] {
            let expected = Compared {
                expression: expression.to_owned(),
                comparison: comparison.to_owned(),
            };
            assert_eq!(without_comparison(rule).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_promql_is_named() {
        let error = without_comparison("sum(").unwrap_err().to_string();
        assert!(error.contains("\"sum(\""), "{error}");
        assert!(selectors(r#"{job="x"}"#, &BTreeMap::new()).is_err());
    }
}
