//! One commit in the making: admits requests one after the other against working copies of the heads,
//! packs what is admitted, and remembers what to make visible and what to answer when it is durable.
//! Touches no file and no shared state.

use std::collections::HashMap;
use std::sync::Arc;

use super::admit::{Admission, CreateAdmission, admit, admit_create, check_trim};
use super::answer::{Answer, Answers};
use super::pack::{self, Packed};
use super::queue::{Appended, Counted, Item, Job, Reply, Trimmed};
use super::slots::{Slot, State};
use super::unsealed::{Change, Run, mark};
use crate::{
    AppendOutcome, AppendPlace, AppendRequest, BatchSpan, CommitSlice, CreateOutcome, CreateRequest,
    Creation, ExecutionRef, Head, LogId, NewEvent, Position, Producer, Rules, SliceChange, TrimRequest,
    WriteError,
};

/// What a batch may look at while it decides.
pub(super) struct Context<'a> {
    pub(super) rules: &'a dyn Rules,
    pub(super) commit: u64,
    pub(super) now_ns: u64,
    /// Whether there is room for more, and if not why. Then nothing is written, and what was written
    /// before is still recognised.
    pub(super) room: Result<(), WriteError>,
}

/// Requests of one commit.
pub(super) struct Batch<'a> {
    context: Context<'a>,
    pub(super) next_position: Position,
    pub(super) next_number: u64,
    /// The record frames.
    pub(super) bytes: Vec<u8>,
    pub(super) slices: Vec<CommitSlice>,
    pub(super) changes: Vec<Change>,
    pub(super) answers: Answers,
    /// Executions created, less those deleted.
    pub(super) executions: i64,
    /// By the address of the slot, which is held here.
    working: HashMap<usize, Working>,
}

struct Working {
    slot: Arc<Slot>,
    state: State,
    changed: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn new(context: Context<'a>, next_position: Position, next_number: u64) -> Self {
        Self {
            context,
            next_position,
            next_number,
            bytes: Vec::new(),
            slices: Vec::new(),
            changes: Vec::new(),
            answers: Answers::default(),
            executions: 0,
            working: HashMap::new(),
        }
    }

    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The states to make visible.
    pub(super) fn into_changed(self) -> impl Iterator<Item = (Arc<Slot>, State)> {
        let changed = self.working.into_values().filter(|working| working.changed);
        changed.map(|working| (working.slot, working.state))
    }

    /// Takes one request.
    pub(super) fn take(&mut self, item: Item) {
        let Item { slot, job, places } = item;
        let answer = match job {
            Job::Create { request, reply } => Answer::create(reply, self.create(&slot, request)),
            Job::Append { request, reply } => self.append_of_stream(&slot, request, reply),
            Job::Trim { request, counted, reply } => Answer::trim(reply, self.trim(&slot, request, counted)),
            Job::Delete { reply } => Answer::delete(reply, self.delete(&slot)),
        };
        self.answers.add(answer, places);
    }

    fn state(&mut self, slot: &Arc<Slot>) -> State {
        self.working(slot).state.clone()
    }

    fn working(&mut self, slot: &Arc<Slot>) -> &mut Working {
        let new = || Working { slot: slot.clone(), state: slot.state(), changed: false };
        self.working.entry(Arc::as_ptr(slot) as usize).or_insert_with(new)
    }

    fn set(&mut self, slot: &Arc<Slot>, state: State) {
        let working = self.working(slot);
        (working.state, working.changed) = (state, true);
    }

    fn present(&mut self, slot: &Arc<Slot>) -> Result<Arc<Head>, WriteError> {
        match self.state(slot) {
            State::Present(head) => Ok(head),
            none => Err(none.no_head(&slot.id).into()),
        }
    }

    fn room(&self) -> Result<(), WriteError> {
        self.context.room.clone()
    }

    fn create(&mut self, slot: &Arc<Slot>, request: CreateRequest) -> Result<CreateOutcome, WriteError> {
        let state = self.state(slot);
        let rule_state = match admit_create(&state, &request, self.context.rules)? {
            CreateAdmission::Write { rule_state } => rule_state,
            CreateAdmission::Existed(head) => return Ok(CreateOutcome { head, existed: true }),
        };
        self.room()?;
        let CreateRequest { execution, digest, labels, events } = request;
        let number = self.next_number;
        let creation = Creation { number, id: execution, log_id: LogId::generate(), digest, labels };
        self.next_number += 1;
        self.executions += 1;
        let mut head = pack::pack_create(&mut self.bytes, &creation);
        self.pack(&mut head, events, None, rule_state);
        let head = Arc::new(head);
        self.set(slot, State::Present(head.clone()));
        Ok(CreateOutcome { head, existed: false })
    }

    fn append_of_stream(
        &mut self,
        slot: &Arc<Slot>,
        request: AppendRequest,
        reply: Reply<Appended>,
    ) -> Answer {
        let place = request.stream.clone();
        // In this order: a look-up that ends between the two has noted its failure before.
        let undecided = place.as_ref().is_some_and(AppendPlace::is_stream_undecided);
        let outcome = match place.as_ref().is_some_and(AppendPlace::is_behind_failed) {
            true => Err(WriteError::StreamFailed),
            false => self.append(slot, request, undecided),
        };
        match (&outcome, &place) {
            (Err(_), Some(place)) => place.failed(),
            (Ok(Appended::Older), Some(place)) => place.undecided(),
            _ => {}
        }
        Answer::append(reply, outcome, place)
    }

    /// Nothing new is written as long as it is open whether an earlier append of the stream failed. The
    /// writer does not wait for that: it is found out by reading.
    fn append(
        &mut self,
        slot: &Arc<Slot>,
        request: AppendRequest,
        undecided: bool,
    ) -> Result<Appended, WriteError> {
        let mut head = self.present(slot)?;
        let rule_state = match admit(&head, &request, self.context.rules)? {
            Admission::Write { .. } if undecided => return Err(WriteError::Busy),
            Admission::Write { rule_state } => rule_state,
            Admission::Duplicate(outcome) => return Ok(Appended::Done(outcome)),
            Admission::Older => return Ok(Appended::Older),
        };
        self.room()?;
        let span = self.pack(Arc::make_mut(&mut head), request.events, request.producer, rule_state);
        let outcome = AppendOutcome { span, tail_seq: head.tail_seq, duplicate: false };
        self.set(slot, State::Present(head));
        Ok(Appended::Done(outcome))
    }

    /// Writes the records of admitted events and moves the head over them.
    fn pack(
        &mut self,
        head: &mut Head,
        events: Vec<NewEvent>,
        producer: Option<(Producer, u128)>,
        rule_state: Option<Vec<u8>>,
    ) -> BatchSpan {
        let mark = producer.as_ref().map_or(0, |(producer, _)| mark(producer));
        let offset = self.bytes.len();
        let Packed { events, span, .. } = pack::pack_append(
            &mut self.bytes,
            head,
            self.next_position,
            self.context.now_ns,
            events,
            producer,
            rule_state,
        );
        self.next_position = span.last_position + 1;
        let run = Run {
            commit: self.context.commit,
            first_seq: span.first_seq,
            record_time_ns: span.record_time_ns,
            offset: u32::try_from(offset).expect("a commit is at most a few times 16 MiB"),
            events: u32::try_from(events.len()).expect("an append has at most 100,000 events"),
            mark,
        };
        let execution = head.execution.clone();
        self.changes.push(Change::Events { number: head.number, execution, run });
        let change =
            SliceChange::Events { events: Arc::from(events), phase: head.phase, error: head.error.clone() };
        self.add_slice(&head.execution, change);
        span
    }

    fn trim(
        &mut self,
        slot: &Arc<Slot>,
        request: TrimRequest,
        counted: Counted,
    ) -> Result<Trimmed, WriteError> {
        let mut head = self.present(slot)?;
        if !check_trim(&head, &request)? {
            return Ok(Trimmed::Floor(head.floor_seq));
        }
        if counted.from_floor != head.floor_seq {
            return Ok(Trimmed::Moved);
        }
        self.room()?;
        let TrimRequest { floor_seq, base, .. } = request;
        let changed = Arc::make_mut(&mut head);
        pack::pack_trim(&mut self.bytes, changed, floor_seq, counted.bytes, base.as_deref());
        self.changes.push(Change::Trimmed { number: head.number, floor_seq, base });
        self.add_slice(&head.execution, SliceChange::Trimmed { floor_seq });
        self.set(slot, State::Present(head));
        Ok(Trimmed::Floor(floor_seq))
    }

    fn delete(&mut self, slot: &Arc<Slot>) -> Result<(), WriteError> {
        let head = self.present(slot)?;
        self.room()?;
        let number = head.number;
        pack::pack_delete(&mut self.bytes, number);
        self.executions -= 1;
        self.changes.push(Change::Deleted { number });
        self.add_slice(&head.execution, SliceChange::Deleted);
        self.set(slot, State::Deleted { number });
        Ok(())
    }

    fn add_slice(&mut self, execution: &Arc<ExecutionRef>, change: SliceChange) {
        self.slices.push(CommitSlice { execution: execution.clone(), change });
    }
}
