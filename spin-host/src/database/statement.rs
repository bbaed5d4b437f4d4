//! What a statement needs, told from its first words.

/// How a statement is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any connection: it only reads, unless SQLite says otherwise.
    Reader,
    /// The writer, in a transaction with others.
    Writer,
    /// A connection of its own from now on, since it changes the connection's state.
    OwnConnection,
}

/// Returns what `sql` needs.
pub(super) fn need(sql: &str) -> Need {
    let mut words = Words(sql);
    let mut word = || words.next().unwrap_or_default().to_ascii_lowercase();
    match word().as_str() {
        "select" | "values" | "with" | "explain" => Need::Reader,
        "insert" | "update" | "delete" | "replace" | "drop" | "alter" => Need::Writer,
        "create" if !matches!(word().as_str(), "temp" | "temporary") => Need::Writer,
        _ => Need::OwnConnection,
    }
}

/// The words of a statement, without white space and comments before them.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start();
            if let Some(comment) = self.0.strip_prefix("--") {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.0.strip_prefix("/*") {
                self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                break;
            }
        }
        let end = self
            .0
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_tell_what_a_statement_needs() {
        let cases = [
            ("SELECT 1", Need::Reader),
            (" -- insert\n\tselect(1)", Need::Reader),
            ("/* x */ WITH a AS (SELECT 1) SELECT * FROM a", Need::Reader),
            ("insert into t values (1) returning id", Need::Writer),
            ("CREATE TABLE IF NOT EXISTS t (id)", Need::Writer),
            ("CREATE TEMP TABLE t (id)", Need::OwnConnection),
            (
                "create /* a */ temporary view v as select 1",
                Need::OwnConnection,
            ),
            ("BEGIN IMMEDIATE", Need::OwnConnection),
            ("PRAGMA user_version = 3", Need::OwnConnection),
            ("ATTACH 'x' AS y", Need::OwnConnection),
            ("VACUUM", Need::OwnConnection),
            ("", Need::OwnConnection),
            ("-- only", Need::OwnConnection),
        ];
        for (sql, expected) in cases {
            assert_eq!(need(sql), expected, "{sql:?}");
        }
    }
}
