//! Tables in plain text for results.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::plain;

/// A table with a header. Each column is as wide as its widest cell. The first column is flush left, the
/// others are flush right.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column headings and no rows.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Table {
        let mut table = Table { rows: Vec::new() };
        table.row(header);
        table
    }

    /// Adds a row. A short row is filled up with empty cells.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells = cells.into_iter().map(Into::into);
        // A line break in a name would break the table.
        self.rows.push(cells.map(|cell| plain(&cell).replace('\n', "\\n")).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                // `{cell:>width$}` counts characters, but Chinese characters take two columns.
                let padding = " ".repeat(width - cell.width());
                line += &if column == 0 {
                    format!("{cell}{padding}")
                } else {
                    format!("  {padding}{cell}")
                };
            }
            writeln!(f, "{}", line.trim_end())?;
            if index == 0 {
                let total = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
                writeln!(f, "{}", "─".repeat(total))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["p", "top-1"]);
        table.row(["0.8", "97.1 %"]);
        table.row(["0", "9 %"]);
        assert_eq!(table.to_string(), "p     top-1\n───────────\n0.8  97.1 %\n0       9 %\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(["class", "n"]);
        table.row(["犬", "1"]);
        assert_eq!(table.to_string(), "class  n\n────────\n犬     1\n");
    }

    #[test]
    fn names_with_line_breaks_and_escape_sequences_stay_in_their_cells() {
        let table = Table::new(["a\nb", "\x1b[2J"]);
        assert_eq!(table.to_string(), "a\\nb  \\u{1b}[2J\n───────────────\n");
    }
}
