//! A table: columns as wide as what stands in them, two spaces between, and the last one cut where the
//! terminal ends.

use crate::ui::style::Style;

/// What stands between two columns.
const GAP: usize = 2;
/// The last column is not made narrower than this; the terminal may wrap it then.
const LAST_MIN: usize = 12;

/// One field.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A field in a style.
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// The word of a status, in its colour.
    pub(crate) fn status(word: &str) -> Self {
        Self::new(word, Style::of_status(word))
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::Plain)
    }
}

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these headings.
    pub(crate) fn new<const COLUMNS: usize>(headings: [&str; COLUMNS]) -> Self {
        Self { rows: vec![headings.map(|heading| Cell::new(heading, Style::Heading)).to_vec()] }
    }

    /// Without headings: names and what they stand for.
    pub(crate) fn of_fields() -> Self {
        Self { rows: Vec::new() }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// One more field, when it has a value.
    pub(crate) fn field(&mut self, name: &str, value: Option<impl Into<Cell>>) {
        if let Some(value) = value {
            self.row([Cell::new(name, Style::Faint), value.into()]);
        }
    }

    /// The text, one line a row.
    pub(crate) fn render(&self, width: Option<usize>, has_colour: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let before: usize = widths.iter().rev().skip(1).map(|width| width + GAP).sum();
        let last = width.map_or(usize::MAX, |width| width.saturating_sub(before).max(LAST_MIN));
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let is_last = column + 1 == columns;
                let shown = if is_last { cut(&cell.text, last) } else { cell.text.clone() };
                let padding = if is_last { 0 } else { widths[column] + GAP - shown.chars().count() };
                line.push_str(&cell.style.paint(&shown, has_colour));
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut table = Table::new(["NAME", "STATUS", "URL"]);
        table.row(["web".into(), Cell::status("SUCCESS"), "http://web.localhost".into()]);
        table.row(["worker".into(), "NONE".into(), "".into()]);
        assert_eq!(
            table.render(None, false),
            "NAME    STATUS   URL\nweb     SUCCESS  http://web.localhost\nworker  NONE\n"
        );
    }

    #[test]
    fn the_last_column_is_cut_where_the_terminal_ends() {
        let mut table = Table::new(["A", "B"]);
        table.row(["x", "one two three four"].map(Cell::from));
        assert_eq!(table.render(Some(16), false), "A  B\nx  one two thre…\n");
        assert_eq!(table.render(Some(3), false), "A  B\nx  one two thr…\n", "never narrower than 12");
    }

    #[test]
    fn colours_do_not_count_for_the_width() {
        let mut table = Table::of_fields();
        table.field("status", Some(Cell::status("FAILED")));
        table.field("url", None::<String>);
        assert_eq!(table.render(None, true), "\x1b[2mstatus\x1b[0m  \x1b[31mFAILED\x1b[0m\n");
    }
}
