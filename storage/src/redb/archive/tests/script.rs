//! Random scripts of writes, small enough for proptest to shrink.

use bytes::Bytes;
use proptest::prelude::*;

use super::support::{Append, Journal, payload};
use crate::{Phase, Producer};

/// One step; the numbers choose among what is there.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create { label: u8, session: u8 },
    Append { which: u8, events: u8, length: u16, random: bool, producer: Option<u8> },
    Phase { which: u8, phase: u8 },
    Trim { which: u8, percent: u8, base: Option<u32> },
    Delete { which: u8 },
    Commit,
    Seal { percent: u8 },
}

pub(super) fn script(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![6 => 0..600u16, 1 => 600..40_000u16];
    let append = (any::<u8>(), 1..30u8, length, any::<bool>(), proptest::option::of(0..4u8)).prop_map(
        |(which, events, length, random, producer)| Step::Append { which, events, length, random, producer },
    );
    let base = proptest::option::of(prop_oneof![3 => 0..2_000u32, 1 => 200_000..800_000u32]);
    let trim =
        (any::<u8>(), 0..=100u8, base).prop_map(|(which, percent, base)| Step::Trim { which, percent, base });
    let step = prop_oneof![
        3 => (0..4u8, 0..4u8).prop_map(|(label, session)| Step::Create { label, session }),
        12 => append,
        2 => (any::<u8>(), 1..=3u8).prop_map(|(which, phase)| Step::Phase { which, phase }),
        2 => trim,
        1 => any::<u8>().prop_map(|which| Step::Delete { which }),
        8 => Just(Step::Commit),
        3 => (1..=100u8).prop_map(|percent| Step::Seal { percent }),
    ];
    proptest::collection::vec(step, 1..steps)
}

/// Plays the steps that write; `seal` is called with how many commits to seal.
pub(super) fn play(journal: &mut Journal, steps: &[Step], mut seal: impl FnMut(&mut Journal, usize)) {
    for (index, step) in steps.iter().enumerate() {
        journal.advance_clock(index as u64 % 3 * 10);
        match step {
            Step::Commit => journal.commit(),
            Step::Seal { percent } => {
                journal.commit();
                let commits = (journal.unsealed() * usize::from(*percent)).div_ceil(100);
                if commits > 0 {
                    seal(journal, commits);
                }
            }
            write => play_write(journal, index as u64, write),
        }
    }
    journal.commit();
    if journal.unsealed() > 0 {
        seal(journal, journal.unsealed());
    }
}

fn play_write(journal: &mut Journal, seed: u64, step: &Step) {
    let which = |which: u8| {
        let executions = &journal.now.executions;
        let index = usize::from(which) % executions.len().max(1);
        executions.values().nth(index).map(|execution| execution.number)
    };
    match step {
        Step::Create { label, session } => create(journal, seed, *label, *session),
        Step::Append { which: chosen, events, length, random, producer } => {
            let Some(number) = which(*chosen) else { return };
            let length = usize::from(*length);
            let payloads = (0..*events).map(|event| payload(seed << 8 | u64::from(event), length, *random));
            let producer = producer.map(|name| next_of(journal, number, name));
            journal.append(number, Append { producer, ..Append::of(payloads) });
        }
        Step::Phase { which: chosen, phase } => {
            let Some(number) = which(*chosen) else { return };
            let phase = Phase::from_number(*phase);
            journal.append(number, Append { phase, ..Append::of([Bytes::new()]) });
        }
        Step::Trim { which: chosen, percent, base } => {
            let Some(number) = which(*chosen) else { return };
            let execution = &journal.now.executions[&number];
            let room = execution.tail_seq() + 1 - execution.floor_seq;
            let floor_seq = execution.floor_seq + room * u64::from(*percent) / 100;
            let base = base.map(|length| payload(seed, length as usize, true));
            journal.trim(number, floor_seq, base);
        }
        Step::Delete { which: chosen } => {
            if let Some(number) = which(*chosen) {
                journal.delete(number);
            }
        }
        Step::Commit | Step::Seal { .. } => {}
    }
}

fn create(journal: &mut Journal, seed: u64, label: u8, session: u8) {
    let value = format!("{label}");
    let labels: &[(&str, &str)] = if label == 0 { &[] } else { &[("kind", &value), ("of", "test")] };
    let session = (session > 0).then(|| format!("session-{session}"));
    let append = Append { session, ..Append::of([payload(seed, 100, false)]) };
    journal.create(&format!("execution-{seed}"), labels, append);
}

/// The next triple of a producer; every fifth append begins a new epoch.
fn next_of(journal: &Journal, number: u64, name: u8) -> Producer {
    let id: std::sync::Arc<str> = format!("producer-{name}").into();
    let batches = journal.now.executions[&number].batches.iter();
    let last = batches.map(|(producer, ..)| producer).rfind(|producer| producer.id == id);
    match last {
        None => Producer { id, epoch: 1, seq: 0 },
        Some(last) if last.seq == 4 => Producer { id, epoch: last.epoch + 2, seq: 0 },
        Some(last) => Producer { id, epoch: last.epoch, seq: last.seq + 1 },
    }
}
