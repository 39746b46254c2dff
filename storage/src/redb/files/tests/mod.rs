//! Tests of the files of a data directory, on real files with scripted faults.

mod support;
mod mount;

mod creation;
mod golden;
mod damage;
mod full;
mod lock;
mod sidecar;
mod store;
mod store_full;
