//! The language of [`super::Faults`]: parsed line by line, a mistake is an error that names its line.

use std::time::Duration;

use rustix::io::Errno;

use crate::redb::{Op, Place};

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the fault script: {what}")]
pub struct ScriptError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// A parsed script.
#[derive(Debug, Default)]
pub(super) struct Script {
    rules: Vec<Rule>,
    /// What the file system is said to have left, in bytes.
    pub(super) free: Option<u64>,
    /// How large a ballast is, in bytes.
    pub(super) ballast: Option<u64>,
}

#[derive(Debug)]
struct Rule {
    place: Option<Place>,
    op: Option<Op>,
    action: Action,
    skip: u64,
    times: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Fail(Errno),
    Crash,
    Delay(Duration),
    Flip(Flip),
}

/// Which byte of a read is wrong.
#[derive(Clone, Debug)]
pub(super) enum Flip {
    /// The one at this offset in the file.
    Offset(u64),
    /// The one at this fraction of what was read.
    Fraction(f64),
    /// The first one of this text.
    Text(Vec<u8>),
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            script.add(line).map_err(|what| ScriptError { line: index + 1, what })?;
        }
        Ok(script)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        match words.next() {
            None => return Ok(()),
            Some("free") => self.free = Some(number(words.next())?),
            Some("ballast") => self.ballast = Some(number(words.next())?),
            Some(place) => self.rules.push(Rule::parse(place, &mut words)?),
        }
        words.next().map_or(Ok(()), |word| Err(format!("{word:?} is left over")))
    }

    /// What a call meets, flips aside. Counts the call.
    pub(super) fn actions(&mut self, place: Place, op: Op) -> impl Iterator<Item = &Action> {
        let rules = self.rules.iter_mut().filter(|rule| !matches!(rule.action, Action::Flip(_)));
        rules.filter_map(move |rule| rule.meets(place, op).then_some(&rule.action))
    }

    /// What is done to the bytes of a read. Counts the read.
    pub(super) fn flips(&mut self, place: Place) -> impl Iterator<Item = &Flip> {
        let rules = self.rules.iter_mut().filter(|rule| matches!(rule.action, Action::Flip(_)));
        rules.filter_map(move |rule| match (rule.meets(place, Op::Read), &rule.action) {
            (true, Action::Flip(flip)) => Some(flip),
            _ => None,
        })
    }
}

impl Rule {
    fn parse<'a>(place: &str, words: &mut impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let place = parse_place(place)?;
        let op = parse_op(words.next().ok_or("the operation is missing")?)?;
        let action = Action::parse(words)?;
        let mut rule = Self { place, op, action, skip: 0, times: u64::MAX };
        for word in words {
            match word.split_once('=') {
                Some(("skip", count)) => rule.skip = number(Some(count))?,
                Some(("times", count)) => rule.times = number(Some(count))?,
                _ => return Err(format!("{word:?} is neither skip=N nor times=N")),
            }
        }
        if matches!(rule.action, Action::Flip(_)) && rule.op != Some(Op::Read) {
            return Err("only what is read can be flipped".to_owned());
        }
        Ok(rule)
    }

    /// Whether the rule is about this call and in force. Counts the call if it is about it.
    fn meets(&mut self, place: Place, op: Op) -> bool {
        if self.place.is_some_and(|mine| mine != place) || self.op.is_some_and(|mine| mine != op) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let before = self.times;
        self.times = before.saturating_sub(1);
        before > 0
    }
}

impl Action {
    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Self, String> {
        Ok(match words.next() {
            Some("eio") => Self::Fail(Errno::IO),
            Some("enospc") => Self::Fail(Errno::NOSPC),
            Some("edquot") => Self::Fail(Errno::DQUOT),
            Some("crash") => Self::Crash,
            Some("delay") => Self::Delay(Duration::from_millis(number(words.next())?)),
            Some("flip") => Self::Flip(Flip::parse(words.next().ok_or("what to flip is missing")?)?),
            other => return Err(format!("{:?} is not an action", other.unwrap_or_default())),
        })
    }
}

impl Flip {
    fn parse(word: &str) -> Result<Self, String> {
        if let Some(text) = word.strip_prefix("text=").filter(|text| !text.is_empty()) {
            return Ok(Self::Text(text.as_bytes().to_vec()));
        }
        if !word.contains('.') {
            return Ok(Self::Offset(number(Some(word))?));
        }
        match word.parse() {
            Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(Self::Fraction(fraction)),
            _ => Err(format!("{word:?} is not a fraction from 0.0 to 1.0")),
        }
    }

    /// Changes the byte, if it is among these, which were read from `offset` on.
    pub(super) fn apply(&self, offset: u64, bytes: &mut [u8]) {
        let at = match self {
            Self::Offset(at) => at.checked_sub(offset).and_then(|at| usize::try_from(at).ok()),
            Self::Fraction(fraction) => Some((bytes.len().saturating_sub(1) as f64 * fraction) as usize),
            Self::Text(text) => bytes.windows(text.len()).position(|window| window == text),
        };
        if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 0x01;
        }
    }
}

fn parse_place(word: &str) -> Result<Option<Place>, String> {
    Ok(Some(match word {
        "journal" => Place::Journal,
        "archive" => Place::Archive,
        "journal_ballast" => Place::JournalBallast,
        "archive_ballast" => Place::ArchiveBallast,
        "directory" => Place::Directory,
        "sidecar" => Place::Sidecar,
        "any" => return Ok(None),
        _ => return Err(format!("{word:?} is not a place")),
    }))
}

fn parse_op(word: &str) -> Result<Option<Op>, String> {
    Ok(Some(match word {
        "begin" => Op::Begin,
        "create" => Op::Create,
        "read" => Op::Read,
        "write" => Op::Write,
        "set_len" => Op::SetLen,
        "allocate" => Op::Allocate,
        "sync_data" => Op::Sync,
        "rename" => Op::Rename,
        "remove" => Op::Remove,
        "any" => return Ok(None),
        _ => return Err(format!("{word:?} is not an operation")),
    }))
}

fn number(word: Option<&str>) -> Result<u64, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("{word:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_the_calls_it_is_about_skips_some_and_ends() {
        let mut script = Script::parse("journal sync_data eio skip=2 times=1 # once\n").expect("parses");
        let mut hits = |place, op| script.actions(place, op).count();
        let calls = [(Place::Journal, Op::Sync), (Place::Archive, Op::Sync), (Place::Journal, Op::Write)];
        assert_eq!(calls.map(|(place, op)| hits(place, op)), [0, 0, 0]);
        let syncs: Vec<usize> = (0..4).map(|_| hits(Place::Journal, Op::Sync)).collect();
        assert_eq!(syncs, [0, 1, 0, 0]);
    }

    #[test]
    fn a_mistake_names_its_line() {
        let lines =
            ["nowhere read eio", "journal eat eio", "journal read", "any read delay", "free", "free 1 2"];
        for line in
            lines.into_iter().chain(["journal write flip 3", "any read flip 1.5", "any any eio often"])
        {
            let mistake = Script::parse(&format!("\n{line}")).expect_err(line);
            assert_eq!(mistake.line, 2, "{mistake}");
        }
    }

    #[test]
    fn a_flip_changes_one_byte_by_offset_fraction_or_text() {
        let flipped = |what: &str, offset| {
            let mut bytes = *b"abcdef";
            Flip::parse(what).expect(what).apply(offset, &mut bytes);
            bytes
        };
        assert_eq!(&flipped("12", 10), b"abbdef");
        assert_eq!(&flipped("9", 10), b"abcdef");
        assert_eq!(&flipped("16", 10), b"abcdef");
        assert_eq!(&flipped("1.0", 0), b"abcdeg");
        assert_eq!(&flipped("text=de", 0), b"abceef");
        assert_eq!(&flipped("text=dx", 0), b"abcdef");
    }
}
