//! A figure with its goal.

use serde::{Deserialize, Serialize};

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Goal {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

/// A measure taken in several rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The measure with its unit.
    pub what: String,
    /// One value per round; none if it could not be measured.
    pub values: Vec<f64>,
    /// Significant decimals.
    pub decimals: usize,
    /// The goal.
    pub goal: Goal,
}

impl Figure {
    /// Returns the `values` of the rounds as a figure.
    pub fn new(what: impl Into<String>, values: &[f64], decimals: usize, goal: Goal) -> Self {
        let (what, values) = (what.into(), values.to_vec());
        Self {
            what,
            values,
            decimals,
            goal,
        }
    }

    /// Returns a row: measure, goal, reached, spread, verdict.
    pub(super) fn row(&self) -> String {
        let Self { what, decimals, .. } = self;
        let median = median(&self.values);
        let (goal, is_reached) = match self.goal {
            Goal::AtLeast(goal) => (format!("≥ {goal:.decimals$}"), median >= goal),
            Goal::AtMost(goal) => (format!("≤ {goal:.decimals$}"), median <= goal),
        };
        if self.values.is_empty() {
            return format!("| {what} | {goal} | not measured | | |\n");
        }
        let (min, max) = extremes(&self.values);
        let verdict = if is_reached { "reached" } else { "**missed**" };
        format!(
            "| {what} | {goal} | {median:.decimals$} | {min:.decimals$} to {max:.decimals$} | {verdict} |\n"
        )
    }
}

/// Returns the median; NaN of no values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)])
}

/// Returns the minimum and the maximum.
pub(super) fn extremes(values: &[f64]) -> (f64, f64) {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    (
        min,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_goal_the_median_the_extremes_and_the_verdict() {
        let row = |values: &[f64], goal| Figure::new("scrape, ms", values, 1, goal).row();
        let values = [3.0, 1.04, 2.0, 10.0];
        let reached = row(&values, Goal::AtMost(50.0));
        assert_eq!(
            reached,
            "| scrape, ms | ≤ 50.0 | 2.5 | 1.0 to 10.0 | reached |\n"
        );
        let missed = row(&values[..3], Goal::AtLeast(2.6));
        assert_eq!(
            missed,
            "| scrape, ms | ≥ 2.6 | 2.0 | 1.0 to 3.0 | **missed** |\n"
        );
        let absent = row(&[], Goal::AtLeast(2.6));
        assert_eq!(absent, "| scrape, ms | ≥ 2.6 | not measured | | |\n");
    }
}
