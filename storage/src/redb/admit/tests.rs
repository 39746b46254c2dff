//! Every answer of admission, and the order in which its checks are made.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::{BatchSpan, Creation, ExecutionId, LogId, NoRules, Phase, ProducerState, RuleState};

const TAIL: u64 = 12;

fn id() -> ExecutionId {
    ExecutionId::parse("admitted").expect("an id")
}

fn span() -> BatchSpan {
    BatchSpan { first_seq: 10, last_seq: 12, last_position: 99, record_time_ns: 5 }
}

/// A head at seq 12, whose producer `p` sent 7 in epoch 3 last.
fn head() -> Head {
    let labels = BTreeMap::new();
    let mut head = Head::new(&Creation { number: 1, id: id(), log_id: LogId(1), digest: 42, labels });
    head.tail_seq = TAIL;
    head.phase = Phase::InProgress;
    head.rule_state = vec![1];
    head.producers.push(ProducerState { producer: producer("p", 3, 7), digest: 1000, span: span() });
    head
}

fn ended() -> Head {
    Head { phase: Phase::Completed, ..head() }
}

fn producer(id: &str, epoch: u64, seq: u64) -> Producer {
    Producer { id: id.into(), epoch, seq }
}

fn event() -> NewEvent {
    NewEvent { type_tag: 1, payload: Bytes::from_static(b"x"), ..NewEvent::default() }
}

fn phase(phase: Phase) -> NewEvent {
    NewEvent {
        head_change: Some(Box::new(HeadChange { phase: Some(phase), ..HeadChange::default() })),
        ..event()
    }
}

fn append(producer: Option<(Producer, u128)>) -> AppendRequest {
    AppendRequest { execution: id(), events: vec![event()], expected_last_seq: None, producer, stream: None }
}

/// Refuses everything, or remembers what it is made of.
struct Fixed(Result<RuleState, Reject>);

impl Rules for Fixed {
    fn admit(&self, _state: &[u8], _events: &[NewEvent]) -> Result<RuleState, Reject> {
        self.0.clone()
    }
}

fn reject() -> Reject {
    Reject { field: "events[0]".into(), description: "no".into() }
}

fn write(rule_state: Option<Vec<u8>>) -> Result<Admission, WriteError> {
    Ok(Admission::Write { rule_state })
}

fn duplicate() -> Result<Admission, WriteError> {
    Ok(Admission::Duplicate(AppendOutcome { span: span(), tail_seq: TAIL, duplicate: true }))
}

/// Each request breaks the check it is named after and all later ones, and no earlier one.
#[test]
fn the_checks_are_made_in_the_promised_order() {
    let refuse = Fixed(Err(reject()));
    let wrong_tail = |request| AppendRequest { expected_last_seq: Some(3), ..request };
    let with = |epoch, seq, digest| wrong_tail(append(Some((producer("p", epoch, seq), digest))));

    let fenced = Err(WriteError::ProducerFenced { expected_seq: 8, current_epoch: 3 });
    assert_eq!(admit(&ended(), &with(2, 7, 1), &refuse), fenced);
    let conflict = Err(WriteError::ProducerConflict { expected_seq: 8, current_epoch: 3 });
    assert_eq!(admit(&ended(), &with(3, 7, 1), &refuse), conflict);
    assert_eq!(admit(&ended(), &with(3, 7, 1000), &refuse), duplicate());
    assert_eq!(admit(&ended(), &with(3, 6, 1), &refuse), Ok(Admission::Older));
    let is_over = Err(WriteError::Ended { final_seq: TAIL, phase: Phase::Completed });
    assert_eq!(admit(&ended(), &with(3, 9, 1), &refuse), is_over);
    let gap = Err(WriteError::ProducerGap { expected_seq: 8, current_epoch: 3 });
    assert_eq!(admit(&head(), &with(3, 9, 1), &refuse), gap);
    let mismatch = Err(WriteError::SeqMismatch { expected: 3, tail_seq: TAIL });
    assert_eq!(admit(&head(), &with(3, 8, 1), &refuse), mismatch);
    let request = AppendRequest { expected_last_seq: Some(TAIL), ..with(3, 8, 1) };
    assert_eq!(admit(&head(), &request, &refuse), Err(WriteError::Rejected(reject())));
    assert_eq!(admit(&head(), &request, &Fixed(Ok(vec![2]))), write(Some(vec![2])));
}

#[test]
fn a_rule_state_that_does_not_change_is_not_written() {
    assert_eq!(admit(&head(), &append(None), &Fixed(Ok(vec![1]))), write(None));
    let long = admit(&head(), &append(None), &Fixed(Ok(vec![0; 65])));
    assert_eq!(long, Err(WriteError::TooLarge { what: Limit::RuleStateBytes, limit: 64, actual: 65 }));
}

#[test]
fn a_new_epoch_and_a_new_producer_begin_at_0() {
    let admitted = |id, epoch, seq| admit(&head(), &append(Some((producer(id, epoch, seq), 1))), &NoRules);
    let changed = || write(Some(Vec::new()));
    assert_eq!(admitted("p", 3, 8), changed());
    assert_eq!(admitted("p", 4, 0), changed());
    assert_eq!(admitted("q", 0, 0), changed());
    let gap = |current_epoch| Err(WriteError::ProducerGap { expected_seq: 0, current_epoch });
    assert_eq!(admitted("p", 4, 1), gap(4));
    assert_eq!(admitted("q", 9, 3), gap(9));
}

#[test]
fn a_producer_id_has_1_to_128_bytes_and_an_execution_64_producers() {
    let admitted = |head: &Head, id: &str| admit(head, &append(Some((producer(id, 1, 0), 1))), &NoRules);
    for bad in ["", &"x".repeat(129)] {
        assert!(
            matches!(admitted(&head(), bad), Err(WriteError::Rejected(reject)) if reject.field == "producer.id")
        );
    }
    let mut full = head();
    for index in 1..64 {
        let state =
            ProducerState { producer: producer(&format!("p{index}"), 1, 0), ..full.producers[0].clone() };
        full.producers.push(state);
    }
    assert!(matches!(admitted(&full, "one more"), Err(WriteError::TooLarge { limit: 64, actual: 65, .. })));
    let known = admit(&full, &append(Some((producer("p9", 1, 1), 1))), &NoRules);
    assert!(matches!(known, Ok(Admission::Write { .. })));
}

#[test]
fn a_terminal_phase_must_come_last() {
    let with = |events| admit(&head(), &AppendRequest { events, ..append(None) }, &NoRules);
    assert!(with(vec![event(), phase(Phase::Completed)]).is_ok());
    let wrong = with(vec![phase(Phase::Failed), event()]);
    assert!(matches!(wrong, Err(WriteError::Rejected(reject)) if reject.field == "events[0]"));
}

#[test]
fn whatever_is_too_large_or_missing_is_refused() {
    let with = |events| admit(&head(), &AppendRequest { events, ..append(None) }, &NoRules);
    assert!(matches!(with(vec![]), Err(WriteError::Rejected(reject)) if reject.field == "events"));
    let too_many = with(vec![event(); APPEND_EVENTS_MAX + 1]);
    assert!(matches!(too_many, Err(WriteError::TooLarge { what: Limit::AppendEvents, .. })));
    let payload = Bytes::from(vec![0; APPEND_BYTES_MAX]);
    assert!(with(vec![NewEvent { payload: payload.clone(), ..NewEvent::default() }]).is_ok());
    let too_long = with(vec![NewEvent { payload, ..NewEvent::default() }, event()]);
    assert!(matches!(too_long, Err(WriteError::TooLarge { what: Limit::AppendBytes, .. })));
    let custom_type = Some("x".repeat(CUSTOM_TYPE_BYTES_MAX + 1).into());
    let custom = with(vec![NewEvent { custom_type, ..event() }]);
    assert!(matches!(custom, Err(WriteError::TooLarge { what: Limit::CustomTypeBytes, .. })));
    let changed = |change| with(vec![NewEvent { head_change: Some(Box::new(change)), ..event() }]);
    let name = Some("x".repeat(HEAD_TEXT_BYTES_MAX + 1));
    assert!(changed(HeadChange { display_name: name, ..HeadChange::default() }).is_err());
    let error = Some("x".repeat(HEAD_ERROR_BYTES_MAX + 1));
    assert!(changed(HeadChange { error, ..HeadChange::default() }).is_err());
}

#[test]
fn long_texts_in_heads_count_as_bytes_of_the_append() {
    let change = HeadChange { error: Some("x".repeat(HEAD_ERROR_BYTES_MAX)), ..HeadChange::default() };
    let event = NewEvent { head_change: Some(Box::new(change)), ..NewEvent::default() };
    let events = vec![event; APPEND_BYTES_MAX / HEAD_ERROR_BYTES_MAX + 1];
    let refused = admit(&head(), &AppendRequest { events, ..append(None) }, &NoRules);
    assert!(matches!(refused, Err(WriteError::TooLarge { what: Limit::AppendBytes, .. })));
}

fn creation(digest: u128) -> CreateRequest {
    CreateRequest { execution: id(), digest, labels: BTreeMap::new(), events: vec![event()] }
}

#[test]
fn the_same_creation_again_is_the_existing_execution_and_another_one_is_refused() {
    let present = State::Present(Arc::new(head()));
    let admitted = |state: &State, digest| admit_create(state, &creation(digest), &NoRules);
    assert!(matches!(admitted(&present, 42), Ok(CreateAdmission::Existed(found)) if *found == head()));
    let exists = |deleted| WriteError::Exists { execution: id(), deleted };
    assert_eq!(admitted(&present, 43).expect_err("another one"), exists(false));
    assert_eq!(admitted(&State::Deleted { number: 1 }, 42).expect_err("deleted"), exists(true));
    assert!(matches!(admitted(&State::Absent, 42), Ok(CreateAdmission::Write { .. })));
}

#[test]
fn labels_are_bounded_in_number_and_length() {
    let with = |labels: BTreeMap<String, String>| {
        admit_create(&State::Absent, &CreateRequest { labels, ..creation(1) }, &NoRules)
    };
    let many = |count: usize| (0..count).map(|index| (index.to_string(), String::new())).collect();
    assert!(with(many(32)).is_ok());
    assert!(with(many(33)).is_err());
    let one = |key: usize, value: usize| BTreeMap::from([("k".repeat(key), "v".repeat(value))]);
    assert!(with(one(63, 256)).is_ok());
    for bad in [one(0, 1), one(64, 1), one(1, 257)] {
        assert!(with(bad).is_err());
    }
}

#[test]
fn a_floor_is_from_1_to_one_above_the_tail_and_never_goes_down() {
    let head = Head { floor_seq: 5, ..head() };
    let trim = |floor_seq| check_trim(&head, &TrimRequest { execution: id(), floor_seq, base: None });
    assert!(matches!(trim(0), Err(WriteError::Rejected(reject)) if reject.field == "floor_seq"));
    assert_eq!([trim(1), trim(5)], [Ok(false), Ok(false)]);
    assert_eq!([trim(6), trim(TAIL + 1)], [Ok(true), Ok(true)]);
    assert!(trim(TAIL + 2).is_err());
}
