//! A figure with what is to be reached.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Goal {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

/// Something that was measured in several rounds, or not at all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured, with its unit.
    pub what: String,
    /// One value a round; none if it could not be measured.
    pub values: Vec<f64>,
    /// Decimals that mean something.
    pub decimals: usize,
    /// What is to be reached, if anything is.
    pub goal: Option<Goal>,
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

impl Figure {
    /// Returns the row of a table of goals: what, goal, reached, spread, verdict.
    pub(super) fn row(&self) -> String {
        let decimals = self.decimals;
        let goal = match self.goal {
            Some(Goal::AtLeast(goal)) => format!("≥ {goal:.decimals$}"),
            Some(Goal::AtMost(goal)) => format!("≤ {goal:.decimals$}"),
            None => String::new(),
        };
        let what = &self.what;
        if self.values.is_empty() {
            return format!("| {what} | {goal} | not measured | | |");
        }
        let median = median(&self.values);
        let (least, most) = extremes(&self.values);
        let verdict = match self.goal {
            Some(goal) if goal.is_reached(median) => "reached",
            Some(_) => "**missed**",
            None => "",
        };
        format!(
            "| {what} | {goal} | {median:.decimals$} | {least:.decimals$} to {most:.decimals$} | {verdict} |"
        )
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row())
    }
}

/// Returns the ratio of each of `of` to the value of `to` in the same round.
pub fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

/// Returns the middle of `values`.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// Returns the least and the most of `values`.
pub(super) fn extremes(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_goal_the_median_the_extremes_and_the_verdict() {
        let mut figure = Figure {
            what: "scrape, ms".into(),
            values: vec![3.0, 1.04, 2.0, 10.0],
            decimals: 1,
            goal: Some(Goal::AtMost(50.0)),
        };
        assert_eq!(
            figure.to_string(),
            "| scrape, ms | ≤ 50.0 | 2.5 | 1.0 to 10.0 | reached |"
        );
        figure.goal = Some(Goal::AtLeast(2.6));
        assert_eq!(
            figure.to_string(),
            "| scrape, ms | ≥ 2.6 | 2.5 | 1.0 to 10.0 | **missed** |"
        );
        figure.values.clear();
        assert_eq!(
            figure.to_string(),
            "| scrape, ms | ≥ 2.6 | not measured | | |"
        );
    }

    #[test]
    fn the_median_of_an_odd_number_is_the_one_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        assert_eq!(ratios(&[1.0, 6.0], &[2.0, 3.0]), [0.5, 2.0]);
    }
}
