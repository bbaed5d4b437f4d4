//! Contenders side by side.

use super::figure::{extremes, median};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Length of the longest bar.
const BAR: f64 = 40.0;

/// A table with the values of all rounds in each cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// The measure with its unit.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Names and cells of the rows; a cell without values was not measured.
    pub rows: Vec<(String, Vec<Vec<f64>>)>,
    /// Significant decimals.
    pub decimals: usize,
    /// Show bars of the medians below it.
    #[serde(default)]
    pub bars: bool,
}

impl Table {
    /// Returns an empty table.
    pub fn new(title: impl Into<String>, decimals: usize) -> Self {
        Self {
            title: title.into(),
            columns: vec![],
            rows: vec![],
            decimals,
            bars: false,
        }
    }

    /// Returns the values of a cell; none if there is no such cell.
    pub fn values(&self, row: &str, column: &str) -> &[f64] {
        let row = self.rows.iter().find(|(name, _)| name == row);
        let column = self.columns.iter().position(|name| name == column);
        let cell = row
            .zip(column)
            .and_then(|((_, cells), column)| cells.get(column));
        cell.map_or(&[], Vec::as_slice)
    }

    /// Adds a value to a cell, with its row and column where they are new.
    pub fn push(&mut self, row: &str, column: &str, value: f64) {
        let column = find_or_push(&mut self.columns, |name| name == column, column.to_owned());
        let row = find_or_push(
            &mut self.rows,
            |(name, _)| name == row,
            (row.to_owned(), vec![]),
        );
        let cells = &mut self.rows[row].1;
        cells.resize(cells.len().max(column + 1), vec![]);
        cells[column].push(value);
    }

    /// Returns the ratios of two cells, each taken within a round.
    pub fn ratios(&self, of: [&str; 2], to: [&str; 2]) -> Vec<f64> {
        let [of, to] = [of, to].map(|[row, column]| self.values(row, column));
        of.iter().zip(to).map(|(of, to)| of / to).collect()
    }

    /// Returns the table as ratios to the row that `base` names for each row. The title begins with `against` and `what`.
    pub fn against(&self, base: impl Fn(&str) -> &'static str, what: &str) -> Self {
        let mut ratios = Self::new(format!("against {what}, {}", self.title), 2);
        for (name, _) in &self.rows {
            let base = base(name);
            for column in self.columns.iter().filter(|_| name != base) {
                for ratio in self.ratios([name, column], [base, column]) {
                    ratios.push(name, column, ratio);
                }
            }
        }
        ratios
    }

    /// Draws a group of bars for each column, each at its own scale: durable writes are far from reads.
    fn draw_bars(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n```text")?;
        for column in &self.columns {
            writeln!(f, "{}", column.replace('`', ""))?;
            let rows = self
                .rows
                .iter()
                .map(|(name, _)| (name, median(self.values(name, column))));
            let rows: Vec<_> = rows.filter(|(_, median)| !median.is_nan()).collect();
            let most = rows.iter().map(|(_, median)| *median).fold(0.0, f64::max);
            for (name, median) in rows {
                let bar = "█".repeat((BAR * median / most).round() as usize);
                writeln!(f, "  {name:27} {median:7.*} {bar}", self.decimals)?;
            }
        }
        writeln!(f, "```")
    }
}

fn find_or_push<T>(all: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: T) -> usize {
    all.iter().position(is_it).unwrap_or_else(|| {
        all.push(new);
        all.len() - 1
    })
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | {} |", self.title, self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.columns.len()))?;
        for (name, _) in &self.rows {
            write!(f, "| {name} |")?;
            for column in &self.columns {
                write!(f, " {} |", cell(self.values(name, column), self.decimals))?;
            }
            writeln!(f)?;
        }
        if self.bars { self.draw_bars(f) } else { Ok(()) }
    }
}

/// Returns the median, with the minimum and the maximum where there are several values.
fn cell(values: &[f64], decimals: usize) -> String {
    let (min, max) = extremes(values);
    match values {
        [] => String::new(),
        [value] => format!("{value:.decimals$}"),
        _ => format!(
            "{:.decimals$} ({min:.decimals$} to {max:.decimals$})",
            median(values)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("ms", 0);
        let cells = [
            ("a", "y", 5.0),
            ("b", "x", 1.0),
            ("b", "x", 3.0),
            ("b", "y", 20.0),
        ];
        for (row, column, value) in cells {
            table.push(row, column, value);
        }
        table
    }

    #[test]
    fn cells_are_filled_in_any_order_and_shown_with_their_spread() {
        assert_eq!(table().values("a", "x"), [0.0; 0]);
        let expected = "| ms | y | x |\n|---|---:|---:|\n| a | 5 |  |\n| b | 20 | 2 (1 to 3) |\n";
        assert_eq!(table().to_string(), expected);
    }

    #[test]
    fn bars_are_as_long_as_their_medians() {
        let shown = Table {
            bars: true,
            ..table()
        }
        .to_string();
        let bars = shown.lines().map(|line| line.matches('█').count());
        assert_eq!(
            bars.filter(|bar| *bar > 0).collect::<Vec<_>>(),
            [10, 40, 40],
            "{shown}"
        );
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        assert_eq!(table().ratios(["a", "y"], ["b", "y"]), [0.25]);
        assert_eq!(table().ratios(["b", "x"], ["b", "x"]), [1.0, 1.0]);
    }
}
