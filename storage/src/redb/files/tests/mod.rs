//! Tests of the files of a data directory, on real files with scripted faults.

mod support;

mod creation;
mod golden;
