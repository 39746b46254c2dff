//! The journal file: one table of rows at whose right edge each commit is appended.
