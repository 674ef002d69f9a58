//! A table of numbers with names.

use crate::grid::Grid;
use std::fmt;

/// Columns of numbers, a row per measure.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Names of the columns, without that of the measures.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    /// Adds a row of one value per column.
    pub(super) fn row(&mut self, name: impl Into<String>, values: Vec<Option<f64>>) {
        self.rows.push((name.into(), values));
    }

    /// As Markdown.
    pub(super) fn to_markdown(&self) -> String {
        self.grid().markdown() + "\n"
    }

    fn grid(&self) -> Grid {
        let head = std::iter::once("measure".to_owned()).chain(self.columns.iter().cloned());
        let row = |(name, values): &(String, Vec<Option<f64>>)| {
            let cells = values.iter().copied().map(cell);
            std::iter::once(name.clone()).chain(cells).collect()
        };
        let rows = self.rows.iter().map(row);
        Grid {
            lines: std::iter::once(head.collect()).chain(rows).collect(),
            words: &[0],
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.grid().text())
    }
}

/// Four decimals; a dash for what was not measured.
fn cell(value: Option<f64>) -> String {
    // Adding 0 makes a negative zero positive.
    value.map_or("-".to_owned(), |value| format!("{:.4}", value + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table {
            columns: vec!["one".to_owned(), "long name".to_owned()],
            ..Table::default()
        };
        table.row("a", vec![Some(-12.5), None]);
        table.row("forgetting", vec![Some(-0.0), Some(1.0)]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "\
measure          one  long name
a           -12.5000          -
forgetting    0.0000     1.0000";
        assert_eq!(table().to_string(), expected);
    }

    #[test]
    fn markdown_has_a_rule() {
        let expected = "\
| measure | one | long name |
|---|---:|---:|
| a | -12.5000 | - |
| forgetting | 0.0000 | 1.0000 |
";
        assert_eq!(table().to_markdown(), expected);
    }
}
