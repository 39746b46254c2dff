//! Whatever a log says, in whatever pieces: every part of a text is shown once, and what is remembered
//! has a bound.

use proptest::prelude::*;

use super::*;
use crate::cli::printable::printable;

/// Texts with what makes trouble: line ends, control characters, letters of many bytes.
fn texts() -> impl Strategy<Value = String> {
    let letters = prop_oneof![
        Just("a"),
        Just("ä"),
        Just("𝄞"),
        Just(" "),
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\t"),
        Just("\u{1b}[2J"),
        Just("\u{202e}"),
        Just("\u{2028}"),
        Just("…"),
    ];
    proptest::collection::vec(letters, 0..40).prop_map(|letters| letters.concat())
}

/// The text in pieces, cut between characters.
fn pieces(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(letters.len() + 1)).collect();
    ends.extend([0, letters.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| letters[ends[0]..ends[1]].iter().collect()).collect()
}

/// What stands where texts stand, of all lines whose head is one of `kinds`, line by line. A kind that
/// begins with another comes before it.
fn texts_under(shown: &str, kinds: &[&str]) -> Vec<String> {
    let (mut found, mut inside) = (Vec::new(), false);
    for line in shown.lines() {
        let continued = line.strip_prefix(&" ".repeat(23));
        if inside && (line.is_empty() || continued.is_some()) {
            found.push(continued.unwrap_or_default().to_owned());
            continue;
        }
        let kind = kinds.iter().find(|kind| {
            line.strip_prefix(**kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        inside = kind.is_some();
        found
            .extend(kind.map(|kind| line.chars().skip(14.max(kind.chars().count() + 1)).collect::<String>()));
    }
    found
}

proptest! {
    #[test]
    fn a_text_that_grows_in_any_pieces_is_shown_whole_and_once(
        text in texts(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let pieces = pieces(&text, &cuts);
        let first = message(0, &pieces[0]);
        let bodies = std::iter::once(first).chain(pieces[1..].iter().map(|piece| more(0, piece)));
        let shown = shown(bodies.collect());
        let printed = printable(&text);
        let found = texts_under(&shown, &["ai #0"]).join("\n");
        // Where a text ends, so does the line, in any case.
        prop_assert_eq!(found.trim_end_matches('\n'), printed.trim_end_matches('\n'));
        prop_assert_eq!(shown.matches("ai #0").count(), 1);
    }

    #[test]
    fn a_text_that_is_interrupted_anywhere_is_shown_whole_and_once(
        text in texts().prop_map(|text| text.replace('\r', "")),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        by_replacing in any::<bool>(),
    ) {
        let pieces = pieces(&text, &cuts);
        let (mut bodies, mut content) = (vec![message(0, &pieces[0])], pieces[0].clone());
        for piece in &pieces[1..] {
            content.push_str(piece);
            bodies.push(phase(Phase::InProgress));
            bodies.push(if by_replacing { replaced(0, said(&content)) } else { more(0, piece) });
        }
        let shown = shown(bodies).replace("(its text is the same)", "");
        let found = texts_under(&shown, &["ai #0 …", "ai #0 rewritten", "ai #0"]).concat();
        let letters = |text: &str| text.replace('\n', "");
        prop_assert_eq!(letters(&found), letters(&printable(&text)));
        prop_assert!(!shown.contains("replaced"));
    }

    #[test]
    fn no_log_makes_it_panic_or_sends_a_control_character(
        choices in proptest::collection::vec((0_u8..14, 0_u32..4, texts()), 0..40),
    ) {
        let text = shown(choices.into_iter().map(|(kind, index, text)| any_body(kind, index, &text)).collect());
        let harmful = |letter: char| {
            (letter.is_control() && !matches!(letter, '\n' | '\t')) || matches!(letter, '\u{202e}' | '\u{2028}')
        };
        prop_assert!(!text.chars().any(harmful), "{:?}", text);
    }
}

fn any_body(kind: u8, index: u32, text: &str) -> Body {
    let statuses = [ToolCallStatus::ToolCallRunning, ToolCallStatus::ToolCallFailed];
    let a_call = || call(text, statuses[text.len() % 2], text);
    match kind {
        0 => message(index, text),
        1 => more(index, text),
        2 => replaced(index, AgentMessage { tool_calls: vec![a_call()], ..said(text) }),
        3 => tool(index, a_call()),
        4 => nested(index, index, a_call()),
        5 => grew(Target::ToolCallResult, index, 0, text),
        6 => grew(Target::MessageToolCallResult, index, 1, text),
        7 => grew(Target::SubAgentOutput, index, 0, text),
        8 => agent(SubAgentStatus::SubAgentFailed, text),
        9 => todo(text, text, TodoStatus::TodoCancelled, ""),
        10 => Body::TodoRemoved(TodoRemoved { id: text.to_owned() }),
        11 => cut(List::Messages, index),
        12 => output(Stream::Stderr, b"\x1b[2J half \xc3"),
        _ => phase(Phase::Failed),
    }
}

#[test]
fn what_is_remembered_has_a_bound_and_what_was_forgotten_is_shown_as_from_the_middle() {
    let mut pretty = Pretty::new(Paint::off());
    let mut event = |body| pretty.event(&Event { body: Some(body), ..Event::default() });
    let many = u32::try_from(SHOWN_ENTRIES_MAX).expect("it is small");
    for index in 0..many + 100 {
        event(message(index, "a long text of which nothing is kept"));
        event(tool(index, call("ls", ToolCallStatus::ToolCallRunning, "")));
        event(grew(Target::SubAgentOutput, index, 0, "text"));
    }
    assert!(timeless(&event(more(0, "x"))).ends_with("message #0 …  x"));
    assert!(timeless(&event(replaced(1, said("a")))).contains("ai #1 replaced a"));
    assert!(timeless(&event(more(many + 99, "x"))).contains("ai #8291 …"));
    assert_eq!(pretty.seen.len(), SHOWN_ENTRIES_MAX);
}

#[test]
fn a_text_costs_nothing_to_remember() {
    let mut pretty = Pretty::new(Paint::off());
    let piece = "x".repeat(1 << 16);
    pretty.event(&Event { body: Some(message(0, "")), ..Event::default() });
    for _ in 0..64 {
        pretty.event(&Event { body: Some(more(0, &piece)), ..Event::default() });
    }
    let entry = pretty.seen.get(Key::Message(0)).expect("it is remembered");
    assert_eq!((entry.text.bytes, entry.name.len()), (4 << 20, 0));
    assert!(size_of::<seen::Entry>() < 256, "{}", size_of::<seen::Entry>());
}
