//! Standard output and standard error: data on the one, talk on the other. A reader that went away is
//! an error the caller ends quietly on, see [`CliError::is_closed_output`].

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::exit::CliError;
use super::printable::{printable, printable_json};

/// How a verb shows its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line, with stable names.
    Json,
}

/// Standard output, buffered.
#[derive(Debug)]
pub(crate) struct Out {
    sink: BufWriter<Stdout>,
}

impl Out {
    /// This process's standard output.
    pub(crate) fn new() -> Self {
        Self { sink: BufWriter::with_capacity(64 << 10, io::stdout()) }
    }

    /// Adds bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.sink.write_all(bytes).map_err(CliError::Output)
    }

    /// Adds one line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Adds one JSON object on a line of its own. It may be read at a terminal too.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), CliError> {
        self.line(&printable_json(&value.to_string()))
    }

    /// Gives everything to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.sink.flush().map_err(CliError::Output)
    }
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether whoever read our standard output has gone away, as `head` does; found out without writing.
pub(crate) fn is_reader_gone() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Says something to the person at the terminal, on standard error. Nobody there to hear it is fine.
/// It may quote what others wrote, an input that is wrong for one; none of that reaches the terminal raw.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(io::stderr(), "tapeline: {}", printable(text));
}

/// Colours, if standard output is a terminal that wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours for a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    pub(crate) fn for_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        Self { on: is_terminal() && set("NO_COLOR").is_none() && !dumb }
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self { on: false }
    }

    /// Colours, wherever it goes.
    #[cfg(test)]
    pub(crate) fn on() -> Self {
        Self { on: true }
    }

    /// Less important.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What the eye should find first.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Went wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Said by a person.
    pub(crate) fn person(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    /// Said by a model.
    pub(crate) fn model(self, text: &str) -> String {
        self.wrap("1;35", text)
    }

    /// Said by a tool or by the surroundings.
    pub(crate) fn aside(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Columns of text, each as wide as its widest cell; the last is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width_of =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width_of(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_its_columns_up() {
        let rows =
            [vec!["ID".to_owned(), "PHASE".to_owned()], vec!["longer-id".to_owned(), "DONE".to_owned()]];
        assert_eq!(table(&rows), ["ID         PHASE", "longer-id  DONE"]);
    }

    #[test]
    fn without_colours_text_is_left_as_it_is() {
        assert_eq!(Paint::off().bad("x"), "x");
        assert_eq!(Paint::on().bad("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
