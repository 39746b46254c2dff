//! The seam through which the owner of the payloads refuses appends that would break his state,
//! without a compare-and-retry. Pure: called by the writer thread, once per append.

use crate::NewEvent;

/// What the rules remember of an execution, at most 64 bytes; kept in the head, opaque to the engine.
pub type RuleState = Vec<u8>;

/// Why an append is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Which part of the request, for example `events[2].message_added.index`.
    pub field: String,
    /// What is wrong with it, a sentence without a full stop.
    pub description: String,
}

/// Decides whether events may follow a state. Must be pure and quick: no I/O, no clock, no locks.
pub trait Rules: Send + Sync + 'static {
    /// `state` is what the last accepted append of this execution returned, empty before its
    /// creation. Returns the state after `events`, or why they are refused; then nothing is written.
    fn admit(&self, state: &[u8], events: &[NewEvent]) -> Result<RuleState, Reject>;
}

/// Accepts everything.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoRules;

impl Rules for NoRules {
    fn admit(&self, _state: &[u8], _events: &[NewEvent]) -> Result<RuleState, Reject> {
        Ok(RuleState::new())
    }
}
