//! Small changes of a PromQL expression, each of which changes its meaning.

use promql_parser::{
    label::Matchers,
    parser::{Expr, Offset, VectorSelector, parse, token},
};
use std::time::Duration;

/// Usual windows, in seconds; a change goes to a neighbour.
const WINDOWS: [u64; 16] = [
    60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 259_200, 604_800,
    2_592_000, 5_184_000,
];

/// A changed expression.
pub(crate) struct Mutant {
    /// The change, in words.
    pub(crate) change: String,
    /// The changed text.
    pub(crate) expression: String,
}

/// Returns every expression that differs from `expression` in one threshold, window, comparison, matcher or operand.
pub(crate) fn mutants(expression: &str) -> Vec<Mutant> {
    let original = parse(expression).unwrap();
    let mut sites = 0;
    visit(&mut original.clone(), &mut |_| sites += 1);
    let at_site = |site: usize| {
        let mut changes = Vec::new();
        let mut current = 0;
        visit(&mut original.clone(), &mut |node| {
            if current == site {
                changes = changed(node);
            }
            current += 1;
        });
        let original = &original;
        changes.into_iter().map(move |(change, replacement)| {
            let mut mutant = original.clone();
            let mut current = 0;
            let mut replacement = Some(replacement);
            visit(&mut mutant, &mut |node| {
                if current == site
                    && let Some(replacement) = replacement.take()
                {
                    *node = replacement;
                }
                current += 1;
            });
            Mutant {
                change,
                expression: mutant.to_string(),
            }
        })
    };
    (0..sites).flat_map(at_site).collect()
}

/// Calls `act` with each node, parents first.
fn visit(node: &mut Expr, act: &mut impl FnMut(&mut Expr)) {
    act(node);
    match node {
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &mut aggregate.param {
                visit(parameter, act);
            }
            visit(&mut aggregate.expr, act);
        }
        Expr::Unary(unary) => visit(&mut unary.expr, act),
        Expr::Binary(binary) => {
            visit(&mut binary.lhs, act);
            visit(&mut binary.rhs, act);
        }
        Expr::Paren(paren) => visit(&mut paren.expr, act),
        Expr::Subquery(subquery) => visit(&mut subquery.expr, act),
        Expr::Call(call) => call
            .args
            .args
            .iter_mut()
            .for_each(|argument| visit(argument, act)),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => {}
    }
}

fn changed(node: &Expr) -> Vec<(String, Expr)> {
    match node {
        Expr::NumberLiteral(number) => numbers(number.val)
            .map(|changed| {
                let mut mutant = number.clone();
                mutant.val = changed;
                (
                    format!("{} becomes {changed}", number.val),
                    Expr::NumberLiteral(mutant),
                )
            })
            .into(),
        Expr::MatrixSelector(matrix) => {
            let windows = neighbours(matrix.range.as_secs()).map(|window| {
                let mut mutant = matrix.clone();
                mutant.range = Duration::from_secs(window);
                let change = format!("{matrix} asks for {window} s");
                (change, Expr::MatrixSelector(mutant))
            });
            let selected = selections(&matrix.vs).into_iter().map(|(change, vs)| {
                let mut mutant = matrix.clone();
                mutant.vs = vs;
                (change, Expr::MatrixSelector(mutant))
            });
            windows.chain(selected).collect()
        }
        Expr::VectorSelector(selector) => {
            let selected = selections(selector).into_iter();
            let selected = selected.map(|(change, mutant)| (change, Expr::VectorSelector(mutant)));
            selected.collect()
        }
        Expr::Binary(binary) => {
            let turned = match binary.op.id() {
                token::T_GTR => Some(token::T_LSS),
                token::T_LSS => Some(token::T_GTR),
                token::T_EQLC => Some(token::T_NEQ),
                token::T_LAND | token::T_LOR | token::T_LUNLESS => {
                    return vec![
                        (
                            format!("`{}` loses its right side", binary.op),
                            (*binary.lhs).clone(),
                        ),
                        (
                            format!("`{}` loses its left side", binary.op),
                            (*binary.rhs).clone(),
                        ),
                    ];
                }
                _ => None,
            };
            assert!(
                turned.is_some() || !binary.op.is_comparison_operator(),
                "teach the mutation check to turn {}",
                binary.op
            );
            let turned = turned.map(|operator| {
                let mut mutant = binary.clone();
                mutant.op = token::TokenType::new(operator);
                (
                    format!("`{}` becomes `{}`", binary.op, mutant.op),
                    Expr::Binary(mutant),
                )
            });
            turned.into_iter().collect()
        }
        Expr::Subquery(subquery) => {
            let windows = neighbours(subquery.range.as_secs()).map(|window| {
                let mut mutant = subquery.clone();
                mutant.range = Duration::from_secs(window);
                let change = format!("{subquery} asks for {window} s");
                (change, Expr::Subquery(mutant))
            });
            let offsets = offsets(subquery.offset.as_ref()).map(|offset| {
                let mut mutant = subquery.clone();
                let change = format!("{subquery} is {offset:?} back");
                mutant.offset = Some(Offset::Pos(offset));
                (change, Expr::Subquery(mutant))
            });
            windows.chain(offsets).collect()
        }
        _ => Vec::new(),
    }
}

/// A fifth less and a fifth more. 0 becomes ±1.5: one event counts as 1, or a little more where `increase()` extrapolates.
fn numbers(number: f64) -> [f64; 2] {
    if number == 0.0 {
        [-1.5, 1.5]
    } else {
        [number * 0.8, number * 1.2]
    }
}

/// Returns the selector without each of its matchers, with the metrics recorded over neighbouring windows, and with
/// neighbouring offsets.
fn selections(selector: &VectorSelector) -> Vec<(String, VectorSelector)> {
    assert!(selector.at.is_none(), "teach the mutation check @");
    let matchers = &selector.matchers.matchers;
    let without = (0..matchers.len()).map(|index| {
        let mut kept = matchers.clone();
        let removed = kept.remove(index);
        let mut mutant = selector.clone();
        mutant.matchers = Matchers::new(kept);
        (format!("{selector} without {removed}"), mutant)
    });
    let recorded = selector.name.as_deref().and_then(|name| {
        let (stem, window) = name.rsplit_once("rate")?;
        let seconds = crate::rules::milliseconds(window) / 1000;
        (name.starts_with("application:") && seconds > 0).then_some((stem, seconds))
    });
    let renamed = recorded.into_iter().flat_map(|(stem, seconds)| {
        neighbours(seconds).map(move |seconds| {
            let mut mutant = selector.clone();
            mutant.name = Some(format!("{stem}rate{}", time(seconds)));
            (format!("{selector} becomes {mutant}"), mutant)
        })
    });
    let offset = offsets(selector.offset.as_ref()).map(|offset| {
        let mut mutant = selector.clone();
        mutant.offset = Some(Offset::Pos(offset));
        (format!("{selector} is {offset:?} back"), mutant)
    });
    without.chain(renamed).chain(offset).collect()
}

fn offsets(offset: Option<&Offset>) -> impl Iterator<Item = Duration> {
    let seconds = offset.map(|offset| match offset {
        Offset::Pos(offset) => offset.as_secs(),
        Offset::Neg(_) => panic!("teach the mutation check negative offsets"),
    });
    let near = seconds.into_iter().flat_map(neighbours);
    near.map(Duration::from_secs)
}

/// The usual windows before and after; of an unusual one the half and the double.
fn neighbours(window: u64) -> impl Iterator<Item = u64> {
    let (below, above) = match WINDOWS.iter().position(|known| *known == window) {
        Some(at) => (
            at.checked_sub(1).map(|index| WINDOWS[index]),
            WINDOWS.get(at + 1).copied(),
        ),
        None => (Some(window / 2), Some(window * 2)),
    };
    below.into_iter().chain(above)
}

fn time(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let (unit, letter) = units
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .unwrap();
    format!("{}{letter}", seconds / unit)
}

#[test]
fn each_part_of_an_expression_is_changed() {
    let mutants =
        mutants(r#"(sum(rate(a{b="c", d!="e"}[5m])) > 0.5) unless application:x:rate1h == 0"#);
    let changed: Vec<_> = mutants.iter().map(|mutant| &*mutant.expression).collect();
    assert_eq!(
        changed,
        [
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.5)"#,
            r#"application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) < 0.5) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[2m])) > 0.5) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[10m])) > 0.5) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{d!="e"}[5m])) > 0.5) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c"}[5m])) > 0.5) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.4) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.6) unless application:x:rate1h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.5) unless application:x:rate1h != 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.5) unless application:x:rate30m == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.5) unless application:x:rate2h == 0"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.5) unless application:x:rate1h == -1.5"#,
            r#"(sum(rate(a{b="c",d!="e"}[5m])) > 0.5) unless application:x:rate1h == 1.5"#,
        ]
    );
}

#[test]
fn an_offset_is_moved_both_ways() {
    let changed = |expression| {
        let mutants = mutants(expression).into_iter();
        mutants.map(|mutant| mutant.expression).collect::<Vec<_>>()
    };
    assert_eq!(
        changed("increase(a[5m] offset 10m)"),
        [
            "increase(a[2m] offset 10m)",
            "increase(a[10m] offset 10m)",
            "increase(a[5m] offset 5m)",
            "increase(a[5m] offset 15m)",
        ]
    );
    assert_eq!(
        changed("max_over_time(a[90m:1m] offset 10m)"),
        [
            "max_over_time(a[45m:1m] offset 10m)",
            "max_over_time(a[3h:1m] offset 10m)",
            "max_over_time(a[1h30m:1m] offset 5m)",
            "max_over_time(a[1h30m:1m] offset 15m)",
        ]
    );
}
