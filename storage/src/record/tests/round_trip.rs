//! What was encoded is decoded, whole and nothing else.

use proptest::prelude::*;

use super::super::*;
use super::samples::{any_event, any_head, any_record, encoded};
use crate::Head;

fn encoded_head(head: &Head) -> Vec<u8> {
    let mut out = Vec::new();
    encode_head(&mut out, head);
    out
}

proptest! {
    #[test]
    fn every_record_is_decoded_as_it_was_encoded(owned in any_record(), behind in any::<[u8; 5]>()) {
        let mut bytes = encoded(&owned.record());
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(Record::decode(&bytes), Ok((owned.record(), length)));
    }

    #[test]
    fn records_stand_one_behind_the_other(all in prop::collection::vec(any_record(), 0..10)) {
        let mut bytes = Vec::new();
        all.iter().for_each(|owned| owned.record().encode(&mut bytes));
        let mut at = 0;
        for owned in &all {
            let (record, length) = Record::decode(&bytes[at..]).expect("it was just encoded");
            prop_assert_eq!(record, owned.record());
            at += length;
        }
        prop_assert_eq!(at, bytes.len());
    }

    #[test]
    fn where_an_event_must_stand_nothing_else_is_taken_for_one(event in any_event(), other in any_record()) {
        let bytes = encoded(&event.record());
        let (found, length) = EventRecord::decode(&bytes).expect("it is an event");
        prop_assert_eq!((Record::Event(found), length), (event.record(), bytes.len()));
        let bytes = encoded(&other.record());
        match other.record() {
            Record::Event(expected) => prop_assert_eq!(EventRecord::decode(&bytes), Ok((expected, bytes.len()))),
            _ => prop_assert_eq!(EventRecord::decode(&bytes), Err(RecordError::Kind(bytes[1]))),
        }
    }

    #[test]
    fn every_head_is_decoded_as_it_was_encoded(head in any_head()) {
        prop_assert_eq!(decode_head(&encoded_head(&head)), Ok(head));
    }

    #[test]
    fn a_head_is_no_record_and_a_record_is_no_head(head in any_head(), owned in any_record()) {
        let kind = Kind::Head as u8;
        let bytes = encoded_head(&head);
        prop_assert_eq!(Record::decode(&bytes), Err(RecordError::Kind(kind)));
        let bytes = encoded(&owned.record());
        prop_assert_eq!(decode_head(&bytes), Err(RecordError::Kind(bytes[1])));
    }
}
