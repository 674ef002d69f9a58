//! Lines of cells in columns, for people: aligned, or as Markdown.

/// Lines of equally many cells; the first holds the names of the columns.
pub(crate) struct Grid {
    pub(crate) lines: Vec<Vec<String>>,
    /// Columns of words, which stand to the left; numbers stand to the right.
    pub(crate) words: &'static [usize],
}

impl Grid {
    /// Aligned, without an end of line behind the last one.
    pub(crate) fn text(&self) -> String {
        let columns = self.lines.first().map_or(0, Vec::len);
        let width = |c: usize| self.lines.iter().map(|line| line[c].chars().count()).max();
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        let line = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(c, (cell, width))| match self.words.contains(&c) {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// As a table of Markdown, without an end of line behind the last one.
    pub(crate) fn markdown(&self) -> String {
        let line = |line: &Vec<String>| format!("| {} |", line.join(" | "));
        let mut lines: Vec<String> = self.lines.iter().map(line).collect();
        let columns = self.lines.first().map_or(0, Vec::len);
        let rule = (0..columns).map(|c| match self.words.contains(&c) {
            true => "---",
            false => "---:",
        });
        lines.insert(1, format!("|{}|", rule.collect::<Vec<_>>().join("|")));
        lines.join("\n")
    }
}
