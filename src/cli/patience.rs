//! When to try again: pauses that grow, within a time that is used to its end. It knows no connection and
//! decides nothing about what may be repeated.

use std::time::Duration;

use super::limits::{PAUSE_FIRST, PAUSE_MAX};

/// The pauses between attempts: each about twice as long as the one before, up to a bound, less a
/// random part, so that a thousand clients of a restarted daemon do not come back in one instant.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    made: u32,
}

impl Pauses {
    /// The pause before the next attempt: not shorter than the daemon `asked` for, as far as that is
    /// reasonable, and not longer than the time that is `left`, so that the last attempt is made at its
    /// very end. `None` if that one was made.
    pub(crate) fn next(&mut self, asked: Duration, left: Duration) -> Option<Duration> {
        let wanted = self.grown().max(asked.min(PAUSE_MAX));
        (!left.is_zero()).then(|| wanted.min(left))
    }

    /// Begins with the first pause again, after a success.
    pub(crate) fn reset(&mut self) {
        self.made = 0;
    }

    fn grown(&mut self) -> Duration {
        let whole = PAUSE_FIRST.saturating_mul(1 << self.made.min(16)).min(PAUSE_MAX);
        self.made = self.made.saturating_add(1);
        let half = whole / 2;
        let random = u32::try_from(ulid::Ulid::generate().random() & 0xffff).unwrap_or_default();
        half + half.saturating_mul(random) / 0x1_0000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: Duration = Duration::from_secs(3_600);

    #[test]
    fn pauses_grow_to_their_bound_and_start_anew_after_a_success() {
        let mut pauses = Pauses::default();
        for made in 0..40 {
            let whole = PAUSE_FIRST.saturating_mul(1 << made.min(16)).min(PAUSE_MAX);
            let pause = pauses.next(Duration::ZERO, AGES).expect("there is time");
            assert!(pause >= whole / 2 && pause <= whole, "pause {made} is {pause:?}");
        }
        pauses.reset();
        assert!(pauses.next(Duration::ZERO, AGES).expect("there is time") <= PAUSE_FIRST);
    }

    #[test]
    fn a_pause_is_as_long_as_the_daemon_asks_for_within_reason() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.next(Duration::from_secs(2), AGES), Some(Duration::from_secs(2)));
        assert_eq!(pauses.next(AGES, AGES), Some(PAUSE_MAX));
    }

    #[test]
    fn the_last_pause_ends_with_the_time_and_none_follows_it() {
        let mut pauses = Pauses::default();
        let left = Duration::from_millis(7);
        assert_eq!(pauses.next(PAUSE_MAX, left), Some(left));
        assert_eq!(pauses.next(PAUSE_MAX, Duration::ZERO), None);
    }
}
