//! Contenders side by side.

use super::figure::{extremes, median};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Values of several rounds in each of its cells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// What its values are, with their unit.
    pub title: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Name and cells of each row; a cell without values was not measured.
    pub rows: Vec<(String, Vec<Vec<f64>>)>,
    /// Decimals that mean something.
    pub decimals: usize,
}

impl Table {
    /// An empty table with rows in this order.
    pub fn new<'a>(
        title: String,
        decimals: usize,
        rows: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            title,
            columns: vec![],
            rows: rows.into_iter().map(|row| (row.into(), vec![])).collect(),
            decimals,
        }
    }

    /// Returns the values of a cell; none if there is no such cell.
    pub fn values(&self, row: &str, column: &str) -> &[f64] {
        let cells = self.rows.iter().find(|(name, _)| name == row);
        let column = self.columns.iter().position(|name| name == column);
        cells
            .zip(column)
            .and_then(|((_, cells), column)| cells.get(column))
            .map_or(&[], Vec::as_slice)
    }

    /// Adds a value to a cell, with its row and column where they are new.
    pub fn push(&mut self, row: &str, column: &str, value: f64) {
        let column = find_or_push(&mut self.columns, |name| name == column, || column.into());
        let row = find_or_push(
            &mut self.rows,
            |(name, _)| name == row,
            || (row.into(), vec![]),
        );
        let cells = &mut self.rows[row].1;
        if cells.len() <= column {
            cells.resize(column + 1, vec![]);
        }
        cells[column].push(value);
    }
}

fn find_or_push<T>(
    all: &mut Vec<T>,
    is_it: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> usize {
    all.iter().position(is_it).unwrap_or_else(|| {
        all.push(make());
        all.len() - 1
    })
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | {} |", self.title, self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.columns.len()))?;
        for (name, cells) in &self.rows {
            write!(f, "| {name} |")?;
            for column in 0..self.columns.len() {
                let values = cells.get(column).map_or(&[][..], Vec::as_slice);
                write!(f, " {} |", cell(values, self.decimals))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The median, and the extremes where there are several values.
fn cell(values: &[f64], decimals: usize) -> String {
    let (least, most) = extremes(values);
    match values {
        [] => String::new(),
        [value] => format!("{value:.decimals$}"),
        _ => format!(
            "{:.decimals$} ({least:.decimals$} to {most:.decimals$})",
            median(values)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_filled_in_any_order_and_shown_with_their_spread() {
        let mut table = Table::new("ms".into(), 0, ["a"]);
        table.push("b", "y", 5.0);
        table.push("a", "x", 1.0);
        table.push("a", "x", 3.0);
        assert_eq!(table.values("a", "x"), [1.0, 3.0]);
        assert_eq!(table.values("b", "x"), [0.0; 0]);
        assert_eq!(
            table.to_string(),
            "| ms | y | x |\n|---|---:|---:|\n| a |  | 2 (1 to 3) |\n| b | 5 |  |\n"
        );
    }
}
