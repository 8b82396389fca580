//! Text in columns, which may be coloured.

use console::measure_text_width;

/// A header and rows in columns, without borders.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    columns(std::iter::once(header).chain(rows).collect())
}

/// A line for each name and value. A value may have several lines.
pub(crate) fn key_values(rows: Vec<(&str, String)>) -> String {
    let row = |(key, value): (&str, String)| {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let rest: Vec<_> = lines
            .map(|line| vec![String::new(), line.to_owned()])
            .collect();
        std::iter::once(vec![key.to_owned(), first]).chain(rest)
    };
    columns(rows.into_iter().flat_map(row).collect())
}

/// `1 deployment`, `2 deployments`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}

/// Replaces control characters by spaces, so that text from elsewhere can neither move
/// the cursor nor break a line.
pub(crate) fn clean(text: &str) -> String {
    text.split(char::is_control)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Pads each column to its width. Lines have no trailing spaces.
pub(crate) fn columns(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    // Widths without colour codes: `{:<n}` would count those as letters.
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| measure_text_width(cell)).max()
    };
    let widths: Vec<_> = (0..columns).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(
                ' ',
                // Never below zero: the width is the largest of the column.
                width - measure_text_width(cell) + COLUMN_GAP,
            ));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Spaces between two columns.
const COLUMN_GAP: usize = 2;

#[cfg(test)]
mod tests {
    use console::style;

    use super::{clean, key_values, table};

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let rows = vec![
            vec!["demo/hello".to_owned(), "READY".to_owned()],
            vec!["x/y".to_owned(), "PENDING".to_owned()],
        ];
        assert_eq!(
            table(&["DEPLOYMENT", "STATE"], rows),
            "DEPLOYMENT  STATE\ndemo/hello  READY\nx/y         PENDING"
        );
    }

    #[test]
    fn a_value_may_have_several_lines() {
        assert_eq!(
            key_values(vec![
                ("State", "READY".to_owned()),
                ("Waits for", "a\nb".to_owned()),
                ("Id", String::new()),
            ]),
            "State      READY\nWaits for  a\n           b\nId"
        );
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(clean("a\n\u{1b}[2Jb"), "a [2Jb");
        assert_eq!(clean("plain text"), "plain text");
    }

    #[test]
    fn colours_have_no_width() {
        let red = style("bad").red().force_styling(true).to_string();
        let rows = vec![
            vec![red.clone(), "1".to_owned()],
            vec!["good".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            table(&["IS", "NO"], rows),
            format!("IS    NO\n{red}   1\ngood  2")
        );
    }
}
