//! The phase on the wire and in the engine: the same numbers, two types.

use tapeline_storage::Phase;

use super::invalid::Invalid;
use crate::proto::v1;

/// The phase as the wire says it.
pub fn to_wire(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Pending => v1::Phase::Pending,
        Phase::InProgress => v1::Phase::InProgress,
        Phase::Completed => v1::Phase::Completed,
        Phase::Failed => v1::Phase::Failed,
        Phase::Cancelled => v1::Phase::Cancelled,
    }
}

/// The phase with this number on the wire; `None` for UNSPECIFIED and for numbers that are no phase.
pub fn from_wire(number: i32) -> Option<Phase> {
    u8::try_from(number).ok().and_then(Phase::from_number)
}

/// The phase that a field of a request names; `None` for UNSPECIFIED.
pub fn named(field: &str, number: i32) -> Result<Option<Phase>, Invalid> {
    match from_wire(number) {
        None if number != 0 => Err(Invalid::field(field, format!("{number} is no phase"))),
        phase => Ok(phase),
    }
}

/// Its name in errors and logs, as on the wire without the prefix.
pub fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "PENDING",
        Phase::InProgress => "IN_PROGRESS",
        Phase::Completed => "COMPLETED",
        Phase::Failed => "FAILED",
        Phase::Cancelled => "CANCELLED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_the_same_number_and_name_on_the_wire() {
        for number in 1..=5 {
            let phase = from_wire(number).expect("1 to 5 are phases");
            assert_eq!(to_wire(phase) as i32, number);
            assert_eq!(to_wire(phase).as_str_name(), format!("PHASE_{}", name(phase)));
        }
        for wrong in [0, 6, -1, 257, i32::MAX, i32::MIN] {
            assert_eq!(from_wire(wrong), None, "{wrong} is no phase");
        }
    }
}
