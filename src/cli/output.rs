//! What is printed, and where: results to standard output, messages to standard error.
//!
//! Everything goes through here, so that a reader that goes away (`| head`) is no panic, colours appear on terminals
//! only, and text from elsewhere cannot steer the terminal.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON object, for programs.
    Json,
}

/// Standard output in one format.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

impl Output {
    pub const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints a result: the value itself as JSON, or what `human` makes of it.
    pub fn result<T: Serialize>(&self, value: &T, human: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        match self.format {
            Format::Table => print(&human(value)),
            Format::Json => {
                let text = serde_json::to_string_pretty(value).context("cannot write the result as JSON")?;
                print(&text)
            }
        }
    }

    /// Prints the names of the columns over items that come one by one; programs need none.
    pub fn heading(&self, text: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Table => print(text),
            Format::Json => Ok(()),
        }
    }

    /// Prints one of several results as it comes: a line for people, or one JSON object on one line.
    pub fn item<T: Serialize>(&self, value: &T, human: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        match self.format {
            Format::Table => print(&human(value)),
            Format::Json => print(&serde_json::to_string(value).context("cannot write the result as JSON")?),
        }
    }
}

/// Prints text to standard output, with a line end.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| out.write_all(b"\n"));
    match written.and_then(|()| out.flush()) {
        // The reader has seen enough. The exit code still tells how the command ended.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Tells people something beside the result.
pub fn note(text: &str) {
    // There is nobody left to tell when standard error is gone.
    let _: io::Result<()> = writeln!(anstream::stderr().lock(), "{text}");
}

/// Tells an error with its causes.
pub fn complain(error: &anyhow::Error) {
    note(&chain(error));
}

fn chain(error: &anyhow::Error) -> String {
    let mut lines = vec![format!("error: {error}")];
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some crates repeat their cause in their own text.
        if !lines.last().is_some_and(|above| above.ends_with(&cause)) {
            lines.push(format!("caused by: {cause}"));
        }
    }
    lines.join("\n")
}

/// Rows under a heading, in columns, without borders: easy to read, easy to cut.
pub fn table<const N: usize>(heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heading.map(str::to_uppercase).to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell).into_owned()).collect::<Vec<_>>());
    }
    let last = N.saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding(if index == last { (0, 0) } else { (0, 2) });
    }
    table.trim_fmt()
}

/// Names and values, one a line; those without a value are left out.
pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): (&str, String)| format!("{name:width$}  {}", printable(&value));
    fields.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text without control characters: what a sensor or a client wrote must not move the cursor of whoever reads it.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Colours, as terminals take them; `print` removes them where there is no terminal.
#[derive(Clone, Copy, Debug)]
pub enum Colour {
    Green,
    Red,
    Yellow,
}

impl Colour {
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Green => 32,
            Self::Red => 31,
            Self::Yellow => 33,
        };
        format!("\u{1b}[1;{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_columns_without_borders() {
        let rows = [["a".to_owned(), "long value".to_owned()], ["longer".to_owned(), "b".to_owned()]];
        assert_eq!(table(["id", "value"], rows), "ID      VALUE\na       long value\nlonger  b");
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let shown = fields([("a", "1".to_owned()), ("longer", "2".to_owned()), ("none", String::new())]);
        assert_eq!(shown, "a       1\nlonger  2");
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert!(!table(["x"], [["\u{1b}]0;owned\u{7}".to_owned()]]).contains('\u{1b}'));
    }

    #[test]
    fn an_error_is_told_with_its_causes_once() {
        let error = anyhow::anyhow!("no such file").context("cannot read the key");
        assert_eq!(chain(&error), "error: cannot read the key\ncaused by: no such file");
        let repeated = anyhow::anyhow!("refused").context("cannot connect: refused");
        assert_eq!(chain(&repeated), "error: cannot connect: refused");
    }
}
