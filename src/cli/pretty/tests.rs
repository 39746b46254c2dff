//! Transcripts, as people see them.

use bytes::Bytes;

use super::*;
use crate::proto::v1::{MessageAdded, MessageTextAppended, Phase};

fn shown(bodies: Vec<Body>) -> String {
    let mut pretty = Pretty::new(Paint::off());
    let events = bodies.into_iter().map(|body| Event { body: Some(body), ..Event::default() });
    let text: String = events.map(|event| pretty.event(&event)).collect();
    let lines = text + &pretty.finish();
    // The hour depends on the time zone of the machine.
    lines
        .lines()
        .map(|line| line.split_once(":00:00 ").map_or(line, |(_, rest)| rest))
        .collect::<Vec<_>>()
        .join("\n")
}

fn output(stream: Stream, data: &'static [u8]) -> Body {
    Body::Output(Output { stream: stream as i32, data: Bytes::from_static(data), truncated: false })
}

fn message(index: u32, content: &str) -> Body {
    let message = AgentMessage {
        r#type: MessageType::MessageAi as i32,
        content: content.to_owned(),
        ..Default::default()
    };
    Body::MessageAdded(MessageAdded { index, message: Some(message) })
}

fn more(index: u32, text: &str) -> Body {
    Body::MessageTextAppended(MessageTextAppended { index, text: text.to_owned() })
}

#[test]
fn what_programs_wrote_stands_as_they_wrote_it() {
    let bodies = vec![
        output(Stream::Stdout, b"gr\xc3"),
        output(Stream::Stdout, b"\xbc\xc3\x9fe\r\n\x1b[2J"),
        output(Stream::Stderr, b"oh\n"),
    ];
    assert_eq!(shown(bodies), "grüße\n\\x1b[2J\noh");
}

#[test]
fn a_message_grows_on_its_line_until_something_else_is_said() {
    let phase = PhaseChanged { phase: Phase::Completed as i32, ..PhaseChanged::default() };
    let bodies =
        vec![message(0, "I will"), more(0, " look\ninto it"), Body::PhaseChanged(phase), more(0, "!")];
    assert_eq!(
        shown(bodies),
        "ai         I will look\n                    into it\nphase      COMPLETED\nai         !"
    );
}

#[test]
fn what_agents_wrote_cannot_reach_the_terminal() {
    let text = shown(vec![message(0, "a\u{1b}]0;title\u{7}\u{202e}b"), more(0, "\rover")]);
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']), "{text:?}");
    assert!(text.contains("\\x1b]0;title"), "{text:?}");
}
