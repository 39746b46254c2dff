//! Tapeline: a durable, append-only log for every agent run, watched live over gRPC.
//!
//! Two walks lead through the house.
//!
//! **Write path**: `rpc` → `append` → the store's writer thread: admit, give seqs, encode, commit with
//! sync → the commit hook → `broker`; then the reply.
//!
//! **Read path**: `rpc` → `watch`: subscribe at the broker first, replay pages from the store up to the
//! tail, then the subscription's channel; overflowed → `FellBehind` and replay again; terminal → `End`.

pub mod proto;
pub mod limits;
pub mod execution;
mod shared;
pub mod append;
pub mod broker;
pub mod watch;
pub mod agentexecution;
pub mod rpc;
pub mod config;
pub mod logging;
pub mod shutdown;
pub mod daemon;
pub mod cli;
#[cfg(any(test, feature = "test-util"))]
pub mod fuzz;
