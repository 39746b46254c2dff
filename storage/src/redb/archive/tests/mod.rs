//! Tests of the archive against a plain model, on a disk in memory that can be cut at any write.

mod support;
mod model;
mod script;
mod checks;
mod bulk;
mod tidy;

mod basics;
mod golden;
mod crash;
mod budget;
mod corruption;
mod lists;
mod measure;
mod races;
