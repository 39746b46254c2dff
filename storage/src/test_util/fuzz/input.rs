//! Reads choices out of fuzz input. An input that is used up ends the run, it does not repeat.

/// What is left of an input.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; `None` at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// One of `choices`, which must not be 0.
    pub(super) fn below(&mut self, choices: usize) -> Option<usize> {
        Some(usize::from(self.byte()?) % choices)
    }

    /// True for one byte in `one_in`.
    pub(super) fn chance(&mut self, one_in: u8) -> Option<bool> {
        Some(self.byte()? % one_in == 0)
    }
}
