//! A real store against the model: whatever the operations, their order, the crashes and the reopenings
//! between them, both must give the same answers and hold the same events.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::check;
use super::choose;
use super::input::Input;
use super::model::{Expected, Model};
use super::scratch::Scratch;
use crate::{
    AppendOutcome, AppendRequest, Clock, EventStore, OpenOptions, RedbStore, TrimRequest, WriteError,
};

/// Operations of one run at most, so that a long input does not take for ever.
const STEPS_MAX: usize = 200;
/// Appends that are in flight at once.
const BURST_MAX: usize = 6;

/// Takes the input as a list of operations.
pub fn store_ops(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let mut input = Input::new(input);
        let mut run = Run::start();
        for _ in 0..STEPS_MAX {
            if run.step(&mut input).await.is_none() {
                break;
            }
        }
        run.check_all().await;
        run.crash();
        run.check_all().await;
        run.store.close().await;
    });
}

struct Run {
    directory: Scratch,
    store: RedbStore,
    model: Model,
    clock: Arc<TestClock>,
    /// The appends of producers so far.
    sent: Vec<AppendRequest>,
}

/// A clock that an input moves, backwards too.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Run {
    fn start() -> Self {
        let directory = Scratch::new();
        let clock = Arc::new(TestClock(AtomicU64::new(1_000)));
        let store = open(directory.path(), &clock);
        Self { directory, store, model: Model::default(), clock, sent: Vec::new() }
    }

    /// One operation; `None` when the input is used up.
    async fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.below(16)? {
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
            14 => self.reopen().await,
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
        let outcome = self.store.create(request).await.map(|outcome| outcome.existed);
        assert_eq!(outcome, expected);
        Some(())
    }

    async fn append(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (request, expected) = self.next_append(input, None)?;
        self.compare(&request, self.store.append(request.clone()).await, expected);
        Some(())
    }

    /// Many appends at once, on one stream or not, all submitted before any is waited for.
    async fn burst(&mut self, input: &mut Input<'_>) -> Option<()> {
        let stream = input.chance(2)?.then(|| Arc::new(AtomicBool::new(false)));
        let mut all = Vec::new();
        for _ in 0..2 + input.below(BURST_MAX - 1)? {
            let Some(next) = self.next_append(input, stream.as_ref()) else { break };
            all.push(next);
        }
        let mut tickets = Vec::new();
        for (request, _) in &all {
            tickets.push(self.store.submit(request.clone()).await);
        }
        for ((request, expected), ticket) in all.into_iter().zip(tickets) {
            let outcome = match ticket {
                Ok(ticket) => ticket.await,
                Err(error) => Err(error),
            };
            self.compare(&request, outcome, expected);
        }
        Some(())
    }

    /// The next append, and what the model says to it.
    fn next_append(
        &mut self,
        input: &mut Input<'_>,
        stream: Option<&Arc<AtomicBool>>,
    ) -> Option<(AppendRequest, Result<Expected, WriteError>)> {
        let sent = if stream.is_some() { &[] } else { self.sent.as_slice() };
        let mut request = choose::append(input, &self.model, sent)?;
        request.stream_failed = stream.cloned();
        let expected = self.model.append(&request);
        if expected.is_ok() && request.producer.is_some() {
            self.sent.push(AppendRequest { stream_failed: None, ..request.clone() });
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
            (outcome, expected) => {
                assert_eq!(outcome.map(|_| ()), expected.map(|_| ()), "{request:?}");
                return;
            }
        };
        assert_eq!(outcome.duplicate, expected.duplicate, "{request:?}");
        assert!(outcome.tail_seq >= expected.tail_seq, "{outcome:?} {expected:?}");
        let seqs = (outcome.span.first_seq, outcome.span.last_seq);
        if !(expected.may_be_gone && seqs == (0, 0)) {
            assert_eq!(seqs, (expected.first_seq, expected.last_seq), "{request:?}");
        }
    }

    async fn trim(&mut self, input: &mut Input<'_>) -> Option<()> {
        let execution = choose::execution(input)?;
        let floor_seq = choose::floor(input, &self.model, &execution)?;
        let base = input.chance(2)?.then(|| vec![0x0b; floor_seq as usize]);
        let expected = self.model.trim(&execution, floor_seq, base.clone());
        let request = TrimRequest { execution, floor_seq, base: base.map(Bytes::from) };
        let outcome = match self.store.trim(request).await {
            Err(WriteError::Rejected(_)) => Ok(None),
            other => other.map(Some),
        };
        assert_eq!(outcome, expected);
        Some(())
    }

    async fn delete(&mut self, input: &mut Input<'_>) -> Option<()> {
        let execution = choose::execution(input)?;
        let expected = self.model.delete(&execution);
        assert_eq!(self.store.delete(&execution).await, expected);
        self.sent.retain(|request| request.execution != execution);
        Some(())
    }

    async fn check_one(&self, input: &mut Input<'_>) -> Option<()> {
        let execution = choose::execution(input)?;
        let cursor = u64::from(input.byte()?);
        check::log(&self.store, &self.model, &execution, 1 + input.below(7)?).await;
        check::cursor(&self.store, &self.model, &execution, cursor).await;
        Some(())
    }

    async fn check_all(&self) {
        check::everything(&self.store, &self.model).await;
    }

    async fn reopen(&mut self) -> Option<()> {
        self.store.close().await;
        self.store = open(self.directory.path(), &self.clock);
        Some(())
    }

    /// The store goes on with what the files held at this moment, as if the process had been killed now.
    fn crash(&mut self) {
        let after = self.directory.copy();
        self.store = open(after.path(), &self.clock);
        self.directory = after;
    }
}

fn open(path: &Path, clock: &Arc<TestClock>) -> RedbStore {
    let options = OpenOptions { clock: clock.clone(), ..OpenOptions::new(path) };
    RedbStore::open(options).expect("a store that was left in order opens")
}
