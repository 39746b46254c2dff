//! The lines of a transcript: heads, texts that may grow, what programs wrote. It holds what is to be
//! given to the reader next, and knows whether the last line has ended. What it is given as a line is
//! printable; texts that grow it makes printable itself, wherever they are cut.

use super::seen::Key;
use crate::cli::output::Paint;
use crate::cli::printable::PrintableBytes;
use crate::proto::v1::Output;
use crate::proto::v1::output::Stream;

/// What `12:34:56 ` takes.
const CLOCK_WIDTH: usize = 9;
/// Where the text of a line begins, after the time.
const KIND_WIDTH: usize = 14;

/// Text that is on its way to the reader.
pub(super) struct Page {
    paint: Paint,
    /// The time the next lines begin with; empty if lines have none.
    clock: String,
    /// Where texts begin.
    indent: usize,
    text: String,
    /// What the last line belongs to and that may grow.
    open: Option<Open>,
    at_line_start: bool,
    /// Blanks that come before the next letter of a text, so that empty lines have none.
    blanks: usize,
    /// What is held back of the text that grows.
    held: PrintableBytes,
    stdout: PrintableBytes,
    stderr: PrintableBytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Output(Stream),
    Text(Key),
}

impl Page {
    /// A page whose lines begin with a time.
    pub(super) fn timed(paint: Paint) -> Self {
        Self { indent: CLOCK_WIDTH + KIND_WIDTH, ..Self::untimed(paint) }
    }

    /// A page whose lines begin with their kind.
    pub(super) fn untimed(paint: Paint) -> Self {
        Self {
            paint,
            clock: String::new(),
            indent: KIND_WIDTH,
            text: String::new(),
            open: None,
            at_line_start: true,
            blanks: 0,
            held: PrintableBytes::default(),
            stdout: PrintableBytes::default(),
            stderr: PrintableBytes::default(),
        }
    }

    /// The time of what follows.
    pub(super) fn set_clock(&mut self, clock: String) {
        self.clock = clock;
    }

    /// What was written since it was last taken.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// A whole line.
    pub(super) fn line(&mut self, kind: &str, what: &str) {
        let head = self.paint.bold(kind);
        self.lines_under(kind, &head, what.trim_end());
    }

    /// A text that is printable and complete, on as many lines as it has.
    pub(super) fn lines(&mut self, kind: &str, what: &str) {
        let head = self.paint.bad(kind);
        self.lines_under(kind, &head, what);
    }

    fn lines_under(&mut self, kind: &str, painted: &str, what: &str) {
        self.close();
        self.head(kind, painted);
        self.flow(what);
        self.close();
    }

    /// A remark of our own.
    pub(super) fn remark(&mut self, remark: &str) {
        self.close();
        self.text.push_str(&self.paint.dim(&format!("-- {remark}")));
        self.text.push('\n');
    }

    /// Whether what is said of `key` next would stand at the end of its own text.
    pub(super) fn is_open(&self, key: Key) -> bool {
        self.open == Some(Open::Text(key))
    }

    /// Begins the line of a text that grows; `painted` is the kind as it is shown.
    pub(super) fn begin(&mut self, key: Key, kind: &str, painted: &str) {
        self.close();
        self.head(kind, painted);
        self.open = Some(Open::Text(key));
    }

    /// More of the text that was begun.
    pub(super) fn more(&mut self, text: &str) {
        let shown = self.held.push(text.as_bytes());
        self.flow(&shown);
    }

    /// A word of our own about the text that was begun.
    pub(super) fn aside(&mut self, aside: &str) {
        let painted = self.paint.dim(aside);
        self.flow(&painted);
    }

    /// What a program wrote, as it wrote it.
    pub(super) fn output(&mut self, output: &Output) {
        let stream = output.stream();
        if self.open != Some(Open::Output(stream)) {
            self.close();
            self.open = Some(Open::Output(stream));
        }
        let shown = match stream {
            Stream::Stderr => self.stderr.push(&output.data),
            _ => self.stdout.push(&output.data),
        };
        self.written(stream, &shown);
        if output.truncated {
            self.remark("some of the output was given up here");
        }
    }

    /// Ends the line that may have grown.
    pub(super) fn close(&mut self) {
        match self.open.take() {
            Some(Open::Output(stream)) => {
                let rest = match stream {
                    Stream::Stderr => self.stderr.finish(),
                    _ => self.stdout.finish(),
                };
                self.written(stream, &rest);
            }
            Some(Open::Text(_)) => {
                let rest = self.held.finish();
                self.flow(&rest);
            }
            None => {}
        }
        if !self.at_line_start {
            self.text.push('\n');
        }
        self.at_line_start = true;
        self.blanks = 0;
    }

    fn written(&mut self, stream: Stream, shown: &str) {
        if shown.is_empty() {
            return;
        }
        match stream {
            Stream::Stderr => self.text.push_str(&self.paint.bad(shown)),
            _ => self.text.push_str(shown),
        }
        self.at_line_start = shown.ends_with('\n');
    }

    fn head(&mut self, kind: &str, painted: &str) {
        let mut width = kind.chars().count();
        if !self.clock.is_empty() {
            self.text.push_str(&self.paint.dim(&self.clock));
            self.text.push(' ');
            width += CLOCK_WIDTH;
        }
        self.text.push_str(painted);
        self.blanks = self.indent.saturating_sub(width).max(1);
        self.at_line_start = false;
    }

    /// Printable text, each of its lines where texts begin.
    fn flow(&mut self, shown: &str) {
        for piece in shown.split_inclusive('\n') {
            let line = piece.strip_suffix('\n').unwrap_or(piece);
            if !line.is_empty() {
                self.text.extend(std::iter::repeat_n(' ', std::mem::take(&mut self.blanks)));
                self.text.push_str(line);
                self.at_line_start = false;
            }
            if piece.ends_with('\n') {
                self.text.push('\n');
                self.blanks = self.indent;
                self.at_line_start = true;
            }
        }
    }
}
