//! How results look: standard output that notices a closed pipe, tables, and numbers in a person's units.

use crate::diagnostics::ClosedOutput;
use std::io::{self, IsTerminal, Write};

/// Standard output, buffered by line; a reader that went away becomes an error that the program ends on quietly.
pub struct Output(io::Stdout);

/// Standard output for results.
pub fn output() -> Output {
    Output(io::stdout())
}

fn mark(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ClosedOutput),
        // Writers try again on their own.
        io::ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, format!("cannot write standard output: {error}")),
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

/// Writes a value as indented JSON and a newline.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = output();
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    out.flush()?;
    Ok(())
}

/// A number of bytes in decimal units: `98.4 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would print as 1000.0
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A whole number with thousands separated: `49,152`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of parameters as the field says it: `134.5M`, `7.24B`.
pub fn parameters(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", number as f64 / 1e6),
        _ => format!("{:.2}B", number as f64 / 1e9),
    }
}

/// Foreign text (metadata, names) made fit for a terminal: control characters become `\u{..}` escapes.
pub fn safe(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Text without control characters other than line breaks and tabs.
fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    let kept = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(kept) {
        text.into()
    } else {
        text.chars().filter(|c| kept(*c)).collect::<String>().into()
    }
}

/// What a model wrote, for standard output: as it is, but printable where that is a terminal.
pub fn generated(text: &str) -> std::borrow::Cow<'_, str> {
    if io::stdout().is_terminal() {
        printable(text)
    } else {
        text.into()
    }
}

/// A text with its lines moved in by two.
pub fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The first `most` characters of a text, with an ellipsis when something was left out.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Which side a column's cells stand on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A plain table: a header, rows, columns as wide as their widest cell.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Narrower than this, a column of words is harder to read than lines that the terminal breaks.
    const NARROWEST: usize = 24;

    /// A table with these column headings.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds one row; missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The table for a terminal.
    pub fn plain(&self) -> String {
        self.plain_within(None)
    }

    /// The table in lines of at most `width` characters, if its last column is of text and leaves room for that: its
    /// longer cells go on below, moved in.
    pub fn plain_within(&self, width: Option<usize>) -> String {
        let widths = self.widths();
        let last = self.columns.len() - 1;
        let start: usize = widths[..last].iter().map(|width| width + 2).sum();
        let room = width
            .and_then(|width| width.checked_sub(start))
            .filter(|room| *room >= Self::NARROWEST && self.columns[last].1 == Align::Left)
            .unwrap_or(usize::MAX);
        let mut text = String::new();
        let header: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (i, cell) in row[..last].iter().enumerate() {
                line.push_str(&self.pad(cell, widths[i], self.columns[i].1));
                line.push_str("  ");
            }
            for (i, piece) in broken(&row[last], room).into_iter().enumerate() {
                if i > 0 {
                    line = " ".repeat(start + 2);
                }
                line.push_str(&self.pad(piece, widths[last], self.columns[last].1));
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// Leaves out columns, in the order that they are given in, until the lines have at most `width` characters. A last
    /// column of text counts as narrow as [`plain_within`](Table::plain_within) makes it.
    pub fn without_as_needed(mut self, width: Option<usize>, order: &[&str]) -> Table {
        let Some(width) = width else {
            return self;
        };
        for name in order {
            let widths = self.widths();
            let last = widths.len() - 1;
            let end = match self.columns[last].1 {
                Align::Left => self
                    .longest_word(last)
                    .max(Self::NARROWEST)
                    .min(widths[last]),
                Align::Right => widths[last],
            };
            if widths[..last].iter().map(|width| width + 2).sum::<usize>() + end <= width {
                break;
            }
            self = self.without(name);
        }
        self
    }

    /// Characters of a column's longest word, as it is moved in on a line of its own.
    fn longest_word(&self, column: usize) -> usize {
        let words = self.rows.iter().flat_map(|row| row[column].split(' '));
        words
            .map(|word| word.chars().count() + 2)
            .max()
            .unwrap_or(0)
    }

    /// The table for a terminal, where the first column may be too wide for it: then the other cells of a row go on the
    /// line below.
    pub fn stacked_within(&self, width: Option<usize>) -> String {
        let widths = self.widths();
        let together = widths.iter().map(|width| width + 2).sum::<usize>() - 2;
        if width.is_none_or(|width| together <= width) {
            return self.plain();
        }
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(&row[0]);
            text.push('\n');
            let others = row.iter().zip(&widths).zip(&self.columns).skip(1);
            let cells: Vec<String> = others
                .map(|((cell, width), (_, align))| self.pad(cell, *width, *align))
                .collect();
            let line = cells.join("  ");
            if !line.trim().is_empty() {
                text.push_str(&format!("    {}\n", line.trim_end()));
            }
        }
        text
    }

    /// Leaves out a column.
    pub fn without(mut self, name: &str) -> Table {
        if let Some(at) = self.columns.iter().position(|(column, _)| *column == name) {
            self.columns.remove(at);
            for row in &mut self.rows {
                row.remove(at);
            }
        }
        self
    }

    /// The table as GitHub-flavoured Markdown.
    pub fn markdown(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let headings = self.columns.iter().zip(&widths);
        text.push_str(&line(
            headings
                .map(|((name, align), width)| self.pad(name, *width, *align))
                .collect(),
        ));
        text.push_str(&line(
            self.columns
                .iter()
                .zip(&widths)
                .map(|((_, align), width)| match align {
                    Align::Left => "-".repeat((*width).max(3)),
                    Align::Right => format!("{}:", "-".repeat((*width).max(3) - 1)),
                })
                .collect(),
        ));
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.columns);
            text.push_str(&line(
                cells
                    .map(|((cell, width), (_, align))| self.pad(cell, *width, *align))
                    .collect(),
            ));
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let wide = |text: &str| text.chars().count();
        (0..self.columns.len())
            .map(|i| {
                self.rows
                    .iter()
                    .map(|row| wide(&row[i]))
                    .max()
                    .unwrap_or(0)
                    .max(wide(self.columns[i].0))
            })
            .collect()
    }

    fn pad(&self, cell: &str, width: usize, align: Align) -> String {
        match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        }
    }
}

/// A text in pieces that end between words and have at most `room` characters, those after the first two less.
fn broken(text: &str, room: usize) -> Vec<&str> {
    let (mut pieces, mut rest, mut most) = (Vec::new(), text, room);
    while let Some((at, c)) = rest.char_indices().nth(most) {
        // A word that is longer than the room has a piece of its own.
        let fitting = rest[..at + c.len_utf8()].rfind(' ');
        let Some(space) = fitting.or_else(|| rest.find(' ')) else {
            break;
        };
        pieces.push(&rest[..space]);
        rest = &rest[space + 1..];
        most = room.saturating_sub(2);
    }
    pieces.push(rest);
    pieces
}

/// Characters of a line, where standard output is a terminal.
pub fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0))
}

/// Characters of a line, where standard error is a terminal.
pub fn stderr_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stderr())?;
    Some(usize::from(width.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(98_362_432), "98.4 MB");
        assert_eq!(bytes(999_999_999), "1.0 GB");
        assert_eq!(count(7), "7");
        assert_eq!(count(49_152), "49,152");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(parameters(134_515_008), "134.5M");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(safe("a\x1b[0m\n"), "a\\u{1b}[0m\\n");
        assert_eq!(printable("a\x1b[0m\r\n\tb"), "a[0m\n\tb");
    }

    #[test]
    fn long_cells_go_on_below() {
        let mut table = Table::new(&[("name", Align::Left), ("used by", Align::Left)]);
        table.row(["a".into(), "one, two, three, four, five, six, seven".into()]);
        table.row(["\u{e4}".into(), "\u{fc}".repeat(40)]);
        let wrapped = format!(
            "name  used by\na     one, two, three, four,\n        five, six, seven\n\u{e4}     {}\n",
            "\u{fc}".repeat(40)
        );
        assert_eq!(table.plain_within(Some(30)), wrapped);
        // Nothing is lost, and no line is too long, at any width that a column of words can have.
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for width in 30..60 {
            let text = table.plain_within(Some(width));
            assert_eq!(words(&text), words(&table.plain()));
            let long = text.lines().filter(|line| line.chars().count() > width);
            assert_eq!(long.count(), usize::from(width < 46), "{width}");
        }
        for width in [None, Some(10)] {
            assert_eq!(table.plain_within(width), table.plain());
        }
    }

    #[test]
    fn columns_are_left_out_where_lines_are_short() {
        let made = |width| {
            let mut table = Table::new(&[
                ("name", Align::Left),
                ("size", Align::Right),
                ("words", Align::Left),
            ]);
            table.row([
                "abcdef".into(),
                "1".into(),
                "several words of a text that can be broken".into(),
            ]);
            table
                .without_as_needed(width, &["words", "size"])
                .plain_within(width)
        };
        assert!(made(None).contains("be broken"));
        assert!(
            made(Some(38))
                .lines()
                .nth(1)
                .unwrap()
                .ends_with("several words of a text")
        );
        assert_eq!(made(Some(37)), "name    size\nabcdef     1\n");
        assert_eq!(made(Some(11)), "name\nabcdef\n");
    }

    #[test]
    fn rows_are_stacked_where_names_are_long() {
        let mut table = Table::new(&[
            ("name", Align::Left),
            ("size", Align::Right),
            ("by", Align::Left),
        ]);
        table.row(["long-name".into(), "10 B".into(), "us".into()]);
        table.row(["b".into(), "1 B".into(), String::new()]);
        assert_eq!(table.stacked_within(Some(19)), table.plain());
        assert_eq!(
            table.stacked_within(Some(18)),
            "long-name\n    10 B  us\nb\n     1 B\n"
        );
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(["a".into(), "10".into()]);
        table.row(["long".into(), "7".into()]);
        assert_eq!(table.plain(), "name   n\na     10\nlong   7\n");
        assert_eq!(
            table.markdown(),
            "| name |  n |\n| ---- | --: |\n| a    | 10 |\n| long |  7 |\n"
        );
    }
}
