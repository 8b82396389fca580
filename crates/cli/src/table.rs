//! Text in columns, which may be coloured, and which fits the width of the terminal.

use console::{measure_text_width, truncate_str};

use crate::elide;

/// A column of a table: its header, and what happens to it on a narrow terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableColumn {
    header: &'static str,
    fit: ColumnFit,
}

/// What a column gives up on a narrow terminal.
#[derive(Debug, Clone, Copy)]
enum ColumnFit {
    /// Nothing.
    Whole,
    /// The middle of its cells, down to this width: for names, which differ at their end.
    Middle(usize),
    /// The end of its cells, down to this width: for sentences.
    End(usize),
    /// Itself.
    Optional,
}

impl TableColumn {
    /// A column that is always shown as it is.
    pub(crate) const fn whole(header: &'static str) -> Self {
        let fit = ColumnFit::Whole;
        Self { header, fit }
    }

    /// A column of names, which keep their beginning and end. Without colours.
    pub(crate) const fn name(header: &'static str, min_width: usize) -> Self {
        let fit = ColumnFit::Middle(min_width);
        Self { header, fit }
    }

    /// A column of sentences, which keep their beginning.
    pub(crate) const fn text(header: &'static str, min_width: usize) -> Self {
        let fit = ColumnFit::End(min_width);
        Self { header, fit }
    }

    /// A column that is left out if there is no room.
    pub(crate) const fn optional(header: &'static str) -> Self {
        let fit = ColumnFit::Optional;
        Self { header, fit }
    }

    fn min_width(self, natural: usize) -> usize {
        match self.fit {
            ColumnFit::Whole | ColumnFit::Optional => natural,
            ColumnFit::Middle(least) | ColumnFit::End(least) => natural.min(least),
        }
    }

    fn cut(self, cell: &str, width: usize) -> String {
        match self.fit {
            ColumnFit::Middle(_) => elide::middle(cell, width),
            _ => truncate_str(cell, width, "…").into_owned(),
        }
    }
}

/// A header and rows in columns, without borders. No line is longer than `width`.
pub(crate) fn table(
    header: &[TableColumn],
    rows: Vec<Vec<String>>,
    width: Option<usize>,
) -> String {
    let names = header.iter().map(|it| it.header.to_owned()).collect();
    let mut all: Vec<Vec<String>> = std::iter::once(names).chain(rows).collect();
    if let Some(width) = width {
        fit(header.to_vec(), &mut all, width);
    }
    columns(all)
}

/// Makes room: leaves out optional columns, then cuts sentences, then names.
fn fit(mut header: Vec<TableColumn>, rows: &mut [Vec<String>], width: usize) {
    let natural = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| measure_text_width(cell));
        widths.max().unwrap_or(0)
    };
    let mut widths: Vec<_> = (0..header.len()).map(natural).collect();
    while let Some(index) = to_leave_out(&header, &widths, width) {
        header.remove(index);
        widths.remove(index);
        for row in &mut *rows {
            row.remove(index);
        }
    }
    shrink(&header, &mut widths, width);
    for row in &mut *rows {
        row.truncate(widths.len());
        for ((cell, column), &width) in row.iter_mut().zip(&header).zip(&widths) {
            if measure_text_width(cell) > width {
                *cell = column.cut(cell, width);
            }
        }
    }
}

/// The last of the optional columns, if all others at their least leave no room for it.
fn to_leave_out(header: &[TableColumn], widths: &[usize], width: usize) -> Option<usize> {
    let least = header.iter().zip(widths);
    let least: usize = least.map(|(column, &width)| column.min_width(width)).sum();
    let has_room = least + gaps(header.len()) <= width;
    let is_optional = |it: &TableColumn| matches!(it.fit, ColumnFit::Optional);
    let last = header.iter().rposition(is_optional);
    last.filter(|_| !has_room)
}

/// Reduces the widths until they fit, and leaves out the columns that have no room at all.
fn shrink(header: &[TableColumn], widths: &mut Vec<usize>, width: usize) {
    let total = widths.iter().sum::<usize>() + gaps(widths.len());
    let mut excess = total.saturating_sub(width);
    let is_text = |it: &TableColumn| matches!(it.fit, ColumnFit::End(_));
    // From the right: what stands first matters most.
    let texts = (0..header.len()).rev().filter(|&it| is_text(&header[it]));
    let others = (0..header.len()).filter(|&it| !is_text(&header[it]));
    for index in texts.chain(others) {
        let spare = widths[index] - header[index].min_width(widths[index]);
        widths[index] -= spare.min(excess);
        excess -= spare.min(excess);
    }
    // A terminal that is narrower than all that: nothing passes its edge.
    let mut room = width;
    widths.retain_mut(|it| {
        *it = room.min(*it);
        room = room.saturating_sub(*it + COLUMN_GAP);
        *it > 0
    });
}

fn gaps(columns: usize) -> usize {
    COLUMN_GAP * columns.saturating_sub(1)
}

/// A line for each name and value. A value may have several lines; one that is longer
/// than the terminal is wide goes on in the next line, below its beginning.
pub(crate) fn key_values(rows: Vec<(&str, String)>, width: Option<usize>) -> String {
    let keys = rows.iter().map(|(key, _)| measure_text_width(key)).max();
    let room = width.map(|it| it.saturating_sub(keys.unwrap_or(0) + COLUMN_GAP));
    let row = |(key, value): (&str, String)| {
        let lines = value.lines().flat_map(|line| match room {
            Some(room) => wrap(line, room.max(MIN_VALUE_WIDTH)),
            None => vec![line.to_owned()],
        });
        let mut lines: Vec<_> = lines.collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        let keys = std::iter::once(key.to_owned()).chain(std::iter::repeat(String::new()));
        let rows = keys.zip(lines).map(|(key, line)| vec![key, line]);
        rows.collect::<Vec<_>>()
    };
    columns(rows.into_iter().flat_map(row).collect())
}

/// Breaks a line at spaces. A word that is too long has a line of its own as a whole: the
/// name of a deployment in a command has to work when it is copied.
fn wrap(line: &str, width: usize) -> Vec<String> {
    if measure_text_width(line) <= width {
        return vec![line.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().map(std::mem::take).unwrap_or_default();
        let joined = match last.as_str() {
            "" => word.to_owned(),
            last => format!("{last} {word}"),
        };
        let count = lines.len();
        if measure_text_width(&joined) <= width || last.is_empty() {
            lines[count - 1] = joined;
        } else {
            lines[count - 1] = last;
            lines.push(word.to_owned());
        }
    }
    lines
}

/// `1 deployment`, `2 deployments`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}

/// Replaces control characters by spaces, so that text from elsewhere can neither move
/// the cursor nor break a line, nor change the order in which a line is read.
pub(crate) fn clean(text: &str) -> String {
    text.split(|c: char| c.is_control() || is_line_control(c))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The same of each line of a text.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Whether a character breaks lines or turns the direction of text without being a control
/// character of its own class (Unicode's `Bidi_Control`, and the two separators).
fn is_line_control(c: char) -> bool {
    matches!(
        c,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    )
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

/// Values are never narrower, whatever the terminal.
const MIN_VALUE_WIDTH: usize = 20;

#[cfg(test)]
mod tests {
    use console::style;

    use super::{TableColumn, clean, clean_lines, key_values, table};

    const HEADER: [TableColumn; 2] = [
        TableColumn::whole("DEPLOYMENT"),
        TableColumn::whole("STATE"),
    ];

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let rows = vec![
            vec!["demo/hello".to_owned(), "READY".to_owned()],
            vec!["x/y".to_owned(), "PENDING".to_owned()],
        ];
        assert_eq!(
            table(&HEADER, rows, None),
            "DEPLOYMENT  STATE\ndemo/hello  READY\nx/y         PENDING"
        );
    }

    #[test]
    fn a_value_may_have_several_lines() {
        assert_eq!(
            key_values(
                vec![
                    ("State", "READY".to_owned()),
                    ("Waits for", "a\nb".to_owned()),
                    ("Id", String::new()),
                ],
                None
            ),
            "State      READY\nWaits for  a\n           b\nId"
        );
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(clean("a\n\u{1b}[2Jb"), "a [2Jb");
        assert_eq!(clean("plain text"), "plain text");
        // An "erase in line" of C1, a right-to-left override, and a line separator.
        assert_eq!(clean("a\u{9b}2Kb\u{202e}c\u{2028}d"), "a 2Kb c d");
        assert_eq!(clean("שלום"), "שלום");
        assert_eq!(clean_lines("a\u{9b}2K:\n  b\u{202e}c"), "a 2K:\n  b c");
    }

    #[test]
    fn colours_have_no_width() {
        let red = style("bad").red().force_styling(true).to_string();
        let rows = vec![
            vec![red.clone(), "1".to_owned()],
            vec!["good".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            table(
                &[TableColumn::whole("IS"), TableColumn::whole("NO")],
                rows,
                None
            ),
            format!("IS    NO\n{red}   1\ngood  2")
        );
    }

    fn wide() -> (Vec<TableColumn>, Vec<Vec<String>>) {
        let header = vec![
            TableColumn::name("DEPLOYMENT", 12),
            TableColumn::whole("STATE"),
            TableColumn::text("WAITS FOR", 10),
            TableColumn::optional("BY"),
        ];
        let row = |name: &str| {
            let cells = [name, "READY", "2 of 3 green routes are ready", "someone"];
            cells.map(str::to_owned).to_vec()
        };
        (
            header,
            vec![
                row("shop/a-rather-long-name-of-a-cart-1"),
                row("shop/cart-2"),
            ],
        )
    }

    #[test]
    fn c7_no_line_is_longer_than_the_terminal() {
        let (header, rows) = wide();
        for width in 1..100 {
            let text = table(&header, rows.clone(), Some(width));
            assert_eq!(text.lines().count(), 3, "{width}");
            for line in text.lines() {
                assert!(
                    console::measure_text_width(line) <= width,
                    "{width}: {line}"
                );
            }
        }
    }

    #[test]
    fn c7_what_matters_stays_and_names_keep_both_ends() {
        let (header, rows) = wide();
        let tables = [60, 38].map(|width| table(&header, rows.clone(), Some(width)));
        insta::assert_snapshot!("c7_narrow", tables.join("\n\n"));
        // Too narrow for all: who did it matters least.
        assert!(tables[0].contains("someone") && !tables[1].contains("someone"));
        assert!(
            tables
                .iter()
                .all(|it| it.contains("-cart-1  READY  2 of 3"))
        );
    }

    #[test]
    fn c7_a_long_value_goes_on_below_its_beginning() {
        let rows = vec![(
            "Policy",
            "blue-green, manual promotion, min ready 5s".to_owned(),
        )];
        assert_eq!(
            key_values(rows, Some(34)),
            "Policy  blue-green, manual\n        promotion, min ready 5s"
        );
        let command = vec![(
            "Next",
            "viridian deployment get shop/a-very-long-name".to_owned(),
        )];
        assert_eq!(
            key_values(command, Some(26)),
            "Next  viridian deployment\n      get\n      shop/a-very-long-name"
        );
    }
}
