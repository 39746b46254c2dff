//! Text that others wrote, made safe to show: what could move a cursor, change colours, clear a screen
//! or turn the order of letters around is shown as an escape instead. Never used for `-o raw`.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every control character shown as an escape. Newlines, tabs, and a carriage return
/// before a newline stay (the return is dropped).
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |letter| matches!(letter, '\n' | '\t'))
}

/// The text on one line: newlines and tabs are shown as escapes too.
pub(crate) fn printable_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// At most `letters_max` letters of the text, on one line; cut texts end in an ellipsis.
pub(crate) fn printable_short(text: &str, letters_max: usize) -> String {
    match text.char_indices().nth(letters_max) {
        None => printable_line(text).into_owned(),
        Some((at, _)) => format!("{}…", printable_line(&text[..at])),
    }
}

/// JSON whose texts show every harmful character as an escape of JSON. Whoever reads it gets the same value.
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_harmful) {
        return Cow::Borrowed(json);
    }
    let (mut safe, mut units) = (String::with_capacity(json.len() + 16), [0; 2]);
    for letter in json.chars() {
        if !is_harmful(letter) {
            safe.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut units) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    Cow::Owned(safe)
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let harmless = |letter: char| stays(letter) || !is_harmful(letter);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\r' && stays('\n') && letters.peek() == Some(&'\n') {
            continue;
        }
        if harmless(letter) { safe.push(letter) } else { push_escape(&mut safe, letter) }
    }
    Cow::Owned(safe)
}

fn push_escape(safe: &mut String, letter: char) {
    // Writing to a string cannot fail.
    let _ = match letter {
        '\n' => write!(safe, "\\n"),
        '\r' => write!(safe, "\\r"),
        '\t' => write!(safe, "\\t"),
        _ if (letter as u32) < 0x100 => write!(safe, "\\x{:02x}", letter as u32),
        _ => write!(safe, "\\u{{{:x}}}", letter as u32),
    };
}

/// Control characters of C0 and C1, and the characters that have no shape but an effect: directions,
/// separators, byte order marks, tags.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Bytes that arrive in pieces, as printable text: a character that is cut between two pieces is put
/// together again, bytes that are no UTF-8 are shown as escapes.
#[derive(Debug, Default)]
pub(crate) struct PrintableBytes {
    /// The beginning of a character, or a carriage return whose newline may follow: at most 3 bytes.
    held: Vec<u8>,
}

impl PrintableBytes {
    /// The next piece as text. What may belong to the piece after it is held back.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let held_from = bytes.len() - held_back(&bytes);
        self.held = bytes.split_off(held_from);
        text_of(&bytes)
    }

    /// What was held back, when nothing follows.
    pub(crate) fn finish(&mut self) -> String {
        text_of(&std::mem::take(&mut self.held))
    }
}

/// How many bytes at the end could be completed by what follows.
fn held_back(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    let tail = bytes.len().saturating_sub(3);
    (tail..bytes.len())
        .find(|&at| {
            std::str::from_utf8(&bytes[at..]).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
        })
        .map_or(0, |at| bytes.len() - at)
}

fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_directions_and_lone_returns_are_made_visible() {
        let text = "a\u{1b}[31mred\u{9b}1m \u{202e}abc\u{2066} over\rwrite\r\nnext\tcell\u{7f}";
        assert_eq!(
            printable(text),
            "a\\x1b[31mred\\x9b1m \\u{202e}abc\\u{2066} over\\rwrite\nnext\tcell\\x7f"
        );
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(printable_line("a\nb\r\nc\td"), "a\\nb\\r\\nc\\td");
        assert_eq!(printable_short("äöüß", 2), "äö…");
        assert_eq!(printable_short("äö", 2), "äö");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_escapes() {
        let mut bytes = PrintableBytes::default();
        assert_eq!(bytes.push(b"ok \xff\xfe end"), "ok \\xff\\xfe end");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left_and_clean_text_is_untouched(text in any::<String>()) {
            let safe = printable(&text);
            prop_assert!(safe.chars().all(|letter| matches!(letter, '\n' | '\t') || !is_harmful(letter)));
            prop_assert_eq!(printable(&safe), safe.as_ref());
            prop_assert!(!printable_line(&text).chars().any(is_harmful));
        }

        #[test]
        fn nothing_harmful_is_left_in_json_and_its_value_is_the_same(text in any::<String>()) {
            for text in [text.as_str(), "\u{9b}2J\u{7f}\u{202e}\u{e0041}\u{1b}"] {
                let value = serde_json::json!({ text: [text] });
                let json = value.to_string();
                let safe = printable_json(&json);
                prop_assert!(!safe.chars().any(is_harmful));
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).ok(), Some(value));
            }
        }

        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(0xc3), Just(0xa4), Just(0xf0), Just(0x9f)],
                0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let mut whole = PrintableBytes::default();
            let expected = whole.push(&bytes) + &whole.finish();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= bytes.len()).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut pieces, mut from, mut text) = (PrintableBytes::default(), 0, String::new());
            for cut in cuts {
                text += &pieces.push(&bytes[from..cut]);
                from = cut;
            }
            text += &pieces.finish();
            prop_assert_eq!(text, expected);
        }
    }
}
