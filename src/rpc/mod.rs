//! The wire: what stands between tonic and the daemon's own words. It must never reach the store
//! except through the write path and the read path.

pub mod log_service;
pub mod admin_service;
mod agentexecution;
mod convert;
mod page_token;
pub mod status;
pub mod handed;
pub mod codec;
mod weight;
