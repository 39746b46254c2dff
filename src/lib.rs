//! Tapeline: a durable, append-only log for every agent run, watched live over gRPC.

pub mod proto;
pub mod rpc;
