//! Figures as a Markdown table.

use std::fmt;

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

/// Something that was measured in several rounds, or not at all.
#[derive(Clone, Debug)]
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

/// A table that is printed.
#[derive(Clone, Debug)]
pub struct Table {
    /// How it was measured.
    pub title: String,
    /// What was measured.
    pub figures: Vec<Figure>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "| figure | median | least | most | goal |")?;
        writeln!(f, "|---|---:|---:|---:|---:|")?;
        self.figures
            .iter()
            .try_for_each(|figure| writeln!(f, "{figure}"))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.decimals;
        write!(f, "| {} |", self.what)?;
        if self.values.is_empty() {
            write!(f, " not taken | | |")?;
        } else {
            let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = self
                .values
                .iter()
                .copied()
                .fold(f64::NEG_INFINITY, f64::max);
            let median = median(&self.values);
            write!(
                f,
                " {median:.decimals$} | {least:.decimals$} | {most:.decimals$} |"
            )?;
        }
        match self.goal {
            Some(Goal::AtLeast(goal)) => write!(f, " ≥ {goal:.decimals$} |"),
            Some(Goal::AtMost(goal)) => write!(f, " ≤ {goal:.decimals$} |"),
            None => write!(f, " |"),
        }
    }
}

/// Returns the ratio of each of `of` to the value of `to` in the same round.
pub fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_the_extremes_and_the_goal() {
        let mut figure = Figure {
            what: "scrape, ms".into(),
            values: vec![3.0, 1.04, 2.0, 10.0],
            decimals: 1,
            goal: Some(Goal::AtMost(50.0)),
        };
        assert_eq!(
            figure.to_string(),
            "| scrape, ms | 2.5 | 1.0 | 10.0 | ≤ 50.0 |"
        );
        figure.values.clear();
        figure.goal = None;
        assert_eq!(figure.to_string(), "| scrape, ms | not taken | | | |");
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
