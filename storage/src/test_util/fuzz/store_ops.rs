//! A real store against the model: whatever the operations, their order, the crashes and the reopenings
//! between them, both must give the same answers and hold the same events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::check;
use super::choose;
use super::input::Input;
use super::model::{Expected, Log, Model};
use super::scratch::Scratch;
use crate::test_util::Faults;
use crate::{
    AppendOrder, AppendOutcome, AppendRequest, Clock, EventStore, OpenOptions, RedbStore, TrimRequest,
    WriteError,
};

/// Operations of one run at most, so that a long input does not take for ever.
const STEPS_MAX: usize = 200;
/// Appends that are in flight at once.
const BURST_MAX: usize = 6;
/// Calls on its files that a process makes at most before it is killed.
const CALLS_BEFORE_DEATH_MAX: usize = 64;
/// The script of a disk whose ballast costs little to make.
const BALLAST: &str = "ballast 65536";

/// Takes the input as a list of operations.
pub fn store_ops(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let mut input = Input::new(input);
        let Some(mut run) = Run::start(&mut input) else { return };
        for _ in 0..STEPS_MAX {
            if run.step(&mut input).await.is_none() {
                break;
            }
        }
        run.check_all().await;
        run.crash();
        run.check_all().await;
        run.store().close().await;
    });
}

struct Run {
    /// `None` only between two stores. Before the directory, so that it is gone before it.
    store: Option<RedbStore>,
    directory: Scratch,
    faults: Faults,
    /// When the store seals, in bytes: so early that runs of few events meet it.
    seal_at: usize,
    model: Model,
    clock: Arc<TestClock>,
    /// The appends of producers so far.
    sent: Vec<AppendRequest>,
}

/// A conflict that was found before all of its burst was durable names the next seq as it was then.
fn looked_up_early(
    outcome: Result<AppendOutcome, WriteError>,
    expected: &Result<Expected, WriteError>,
) -> Result<AppendOutcome, WriteError> {
    match (outcome, expected) {
        (
            Err(WriteError::ProducerConflict { expected_seq: seen, .. }),
            Err(conflict @ WriteError::ProducerConflict { expected_seq, .. }),
        ) if seen < *expected_seq => Err(conflict.clone()),
        (outcome, _) => outcome,
    }
}

/// A clock that an input moves, backwards too.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Run {
    fn start(input: &mut Input<'_>) -> Option<Self> {
        let directory = Scratch::new();
        let clock = Arc::new(TestClock(AtomicU64::new(1_000)));
        let seal_at = [16 << 10, 64 << 10, 1 << 20][input.below(3)?];
        let (model, sent, faults) = (Model::default(), Vec::new(), Faults::new());
        let mut run = Self { store: None, directory, faults, seal_at, model, clock, sent };
        run.open();
        Some(run)
    }

    fn store(&self) -> &RedbStore {
        self.store.as_ref().expect("a store is open between two operations")
    }

    /// One operation; `None` when the input is used up.
    async fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.below(17)? {
            0 | 1 => self.create(input).await,
            2..=7 => self.append(input).await,
            8 | 9 => self.burst(input).await,
            10 => self.trim(input).await,
            11 => self.delete(input).await,
            12 => self.check_one(input).await,
            13 => {
                self.clock.0.store(u64::from(input.byte()?) * 100, Ordering::Relaxed);
                Some(())
            }
            14 => {
                self.store().close().await;
                self.open();
                Some(())
            }
            15 => self.doomed_append(input).await,
            _ => {
                self.crash();
                self.check_all().await;
                Some(())
            }
        }
    }

    async fn create(&mut self, input: &mut Input<'_>) -> Option<()> {
        let request = choose::create(input)?;
        let expected = self.model.create(&request);
        let outcome = self.store().create(request).await.map(|outcome| outcome.existed);
        assert_eq!(outcome, expected);
        Some(())
    }

    async fn append(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (request, expected) = self.next_append(input, None)?;
        self.compare(&request, self.store().append(request.clone()).await, expected);
        Some(())
    }

    /// Many appends at once, on one stream or not, all submitted before any is waited for.
    async fn burst(&mut self, input: &mut Input<'_>) -> Option<()> {
        let stream = input.chance(2)?.then(AppendOrder::default);
        let at_first = self.model.clone();
        let mut all = Vec::new();
        let mut failed = false;
        for _ in 0..2 + input.below(BURST_MAX - 1)? {
            let before = (stream.is_some() && failed).then(|| self.model.clone());
            let Some((request, mut expected)) = self.next_append(input, stream.as_ref()) else { break };
            if let Some(before) = before {
                // Whatever it is, it stands behind one that failed.
                self.model = before;
                expected = Err(WriteError::StreamFailed);
            }
            // What was written before is looked up at once: what of the burst is durable by then is not said.
            if let Some(duplicate) = expected.as_mut().ok().filter(|expected| expected.duplicate) {
                duplicate.tail_seq = at_first.logs.get(&request.execution).map_or(0, Log::tail);
            }
            failed |= expected.is_err();
            all.push((request, expected));
        }
        let mut tickets = Vec::new();
        for (request, _) in &all {
            tickets.push(self.store().submit(request.clone()).await);
        }
        for ((request, expected), ticket) in all.into_iter().zip(tickets) {
            let outcome = match ticket {
                Ok(ticket) => ticket.await,
                Err(error) => Err(error),
            };
            self.compare(&request, looked_up_early(outcome, &expected), expected);
        }
        Some(())
    }

    /// The next append, and what the model says to it.
    fn next_append(
        &mut self,
        input: &mut Input<'_>,
        stream: Option<&AppendOrder>,
    ) -> Option<(AppendRequest, Result<Expected, WriteError>)> {
        let sent = if stream.is_some() { &[] } else { self.sent.as_slice() };
        let mut request = choose::append(input, &self.model, sent)?;
        request.stream = stream.map(AppendOrder::next);
        let expected = self.model.append(&request);
        if expected.is_ok() && request.producer.is_some() {
            self.sent.push(AppendRequest { stream: None, ..request.clone() });
        }
        Some((request, expected))
    }

    fn compare(
        &self,
        request: &AppendRequest,
        outcome: Result<AppendOutcome, WriteError>,
        expected: Result<Expected, WriteError>,
    ) {
        let (outcome, expected) = match (outcome, expected) {
            (Ok(outcome), Ok(expected)) => (outcome, expected),
            (Err(WriteError::ProducerConflict { .. }), Ok(expected)) if expected.conflict => return,
            // Both are true, and which is seen first is not promised.
            (
                Err(WriteError::NotFound { .. } | WriteError::ProducerConflict { .. }),
                Err(WriteError::StreamFailed),
            ) => return,
            (outcome, expected) => {
                assert_eq!(outcome.map(|_| ()), expected.map(|_| ()), "{}", brief(request));
                return;
            }
        };
        assert_eq!(outcome.duplicate, expected.duplicate, "{}", brief(request));
        assert!(outcome.tail_seq >= expected.tail_seq, "{outcome:?} {expected:?}");
        let seqs = (outcome.span.first_seq, outcome.span.last_seq);
        if !(expected.may_be_gone && seqs == (0, 0)) {
            assert_eq!(seqs, (expected.first_seq, expected.last_seq), "{}", brief(request));
        }
    }

    async fn trim(&mut self, input: &mut Input<'_>) -> Option<()> {
        let execution = choose::execution(input)?;
        let floor_seq = choose::floor(input, &self.model, &execution)?;
        let base = input.chance(2)?.then(|| vec![0x0b; floor_seq as usize]);
        let expected = self.model.trim(&execution, floor_seq, base.clone());
        let request = TrimRequest { execution, floor_seq, base: base.map(Bytes::from) };
        let outcome = match self.store().trim(request).await {
            Err(WriteError::Rejected(_)) => Ok(None),
            other => other.map(Some),
        };
        assert_eq!(outcome, expected);
        Some(())
    }

    async fn delete(&mut self, input: &mut Input<'_>) -> Option<()> {
        let execution = choose::execution(input)?;
        let expected = self.model.delete(&execution);
        assert_eq!(self.store().delete(&execution).await, expected);
        self.sent.retain(|request| request.execution != execution);
        Some(())
    }

    async fn check_one(&self, input: &mut Input<'_>) -> Option<()> {
        let execution = choose::execution(input)?;
        let cursor = u64::from(input.byte()?);
        check::log(self.store(), &self.model, &execution, 1 + input.below(7)?).await;
        check::cursor(self.store(), &self.model, &execution, cursor).await;
        Some(())
    }

    async fn check_all(&self) {
        check::everything(self.store(), &self.model).await;
    }

    /// An append during which the process is killed, before one of the calls on its files.
    async fn doomed_append(&mut self, input: &mut Input<'_>) -> Option<()> {
        let before = self.model.clone();
        let skip = input.below(CALLS_BEFORE_DEATH_MAX)?;
        let (request, expected) = self.next_append(input, None)?;
        self.script(&format!("any any crash skip={skip}"));
        let outcome = self.store().append(request.clone()).await;
        self.crash();
        match outcome {
            Err(WriteError::Failed) => self.model = before,
            Err(WriteError::OutcomeUnknown) => {
                let written = expected.expect("only what would be written has an unknown outcome");
                let head = self.store().head(&request.execution).await.expect("it was written to");
                if head.tail_seq != written.tail_seq {
                    self.model = before;
                }
            }
            outcome => self.compare(&request, outcome, expected),
        }
        self.check_all().await;
        Some(())
    }

    /// The process is killed; the next one opens what the files held at that moment.
    fn crash(&mut self) {
        if !self.faults.crashed() {
            self.script("any any crash");
        }
        self.open();
    }

    /// Opens the store anew, on a disk without faults.
    fn open(&mut self) {
        // A directory has one store: the one before must be gone.
        self.store = None;
        self.script("");
        let mut options = OpenOptions::new(self.directory.path()).seal_at(self.seal_at, self.seal_at);
        options.clock = self.clock.clone();
        let store = RedbStore::open(options.on_disk(&self.faults));
        self.store = Some(store.expect("a store that was left in order opens"));
    }

    fn script(&self, rules: &str) {
        self.faults.script(&format!("{BALLAST}\n{rules}")).expect("the script is one");
    }
}

/// An append without its bytes.
fn brief(request: &AppendRequest) -> String {
    let AppendRequest { execution, events, expected_last_seq, producer, stream } = request;
    let (count, producer) = (events.len(), producer.as_ref().map(|(producer, _)| producer));
    format!(
        "{count} events to {execution} after {expected_last_seq:?} by {producer:?}, on a stream: {}",
        stream.is_some()
    )
}
