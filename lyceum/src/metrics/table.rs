//! A table of numbers with names.

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
        let rule = std::iter::repeat_n("---:", self.columns.len()).collect::<Vec<_>>();
        let mut text = format!("| measure | {} |\n", self.columns.join(" | "));
        text += &format!("|---|{}|\n", rule.join("|"));
        for (name, values) in &self.rows {
            let cells: Vec<String> = values.iter().copied().map(cell).collect();
            text += &format!("| {name} | {} |\n", cells.join(" | "));
        }
        text
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rows.iter().map(|(name, _)| name.chars().count());
        let first = names.max().unwrap_or(0).max("measure".len());
        let width = |column: usize| {
            let cells = self.rows.iter().map(|(_, values)| cell(values[column]));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(self.columns[column].chars().count())
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        write!(f, "{:first$}", "measure")?;
        for (column, width) in self.columns.iter().zip(&widths) {
            write!(f, "  {column:>width$}")?;
        }
        for (name, values) in &self.rows {
            write!(f, "\n{name:first$}")?;
            for (value, width) in values.iter().zip(&widths) {
                write!(f, "  {:>width$}", cell(*value))?;
            }
        }
        Ok(())
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
