//! Values on the command line, parsed where they come in: durations, times, labels, phases, and the words
//! for phases and times on the way out. Every time that people see is in one zone, that of the machine.

use std::time::Duration;

use clap::ValueEnum;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::proto::v1::Phase;

/// A length of time such as `90s`, `5m`, `1h30m`, as people write it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no length of time; write 30s, 5m or 1h30m"))?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative"))
}

/// A moment: so long ago (`5m`), or an RFC 3339 time.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_before(text, Timestamp::now())
}

fn moment_before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp);
    }
    let ago =
        duration(text).map_err(|_| format!("`{text}` is neither like 5m nor like 2026-01-31T12:00:00Z"))?;
    let ago = SignedDuration::try_from(ago).map_err(|_| format!("`{text}` is too long ago"))?;
    now.checked_sub(ago).map_err(|_| format!("`{text}` is too long ago"))
}

/// A label as `key=value`; the value may be empty and may hold more equals signs.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not of the form key=value")),
    }
}

/// The id of an execution, refused here as the daemon would: 1 to 128 of `A-Z a-z 0-9 - _ . :`.
pub(crate) fn execution_id(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("an execution id is 1 to 128 of the characters A-Z a-z 0-9 - _ . and colon".to_owned())
    }
}

/// A phase, as the command line takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PhaseArg {
    /// Created, and nothing more.
    Pending,
    /// At work.
    #[value(alias = "in_progress")]
    InProgress,
    /// Ended well.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because somebody wanted it to.
    Cancelled,
}

impl From<PhaseArg> for Phase {
    fn from(phase: PhaseArg) -> Self {
        match phase {
            PhaseArg::Pending => Self::Pending,
            PhaseArg::InProgress => Self::InProgress,
            PhaseArg::Completed => Self::Completed,
            PhaseArg::Failed => Self::Failed,
            PhaseArg::Cancelled => Self::Cancelled,
        }
    }
}

/// The short name of a phase: `COMPLETED`.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    phase.as_str_name().trim_start_matches("PHASE_")
}

/// The time now, as the wire has it.
pub(crate) fn wire_time(timestamp: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: timestamp.as_second(), nanos: timestamp.subsec_nanosecond() }
}

/// A time of the wire; `None` if it is unset or no time at all.
pub(crate) fn local_time(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A time of the wire for people: RFC 3339 to the second, or a dash.
pub(crate) fn shown_time(time: Option<&prost_types::Timestamp>) -> String {
    shown(time, "%Y-%m-%dT%H:%M:%S%:z", "-")
}

/// The hour, minute and second of the same time, where the day goes without saying.
pub(crate) fn shown_clock(time: Option<&prost_types::Timestamp>) -> String {
    shown(time, "%H:%M:%S", "00:00:00")
}

fn shown(time: Option<&prost_types::Timestamp>, format: &str, unknown: &str) -> String {
    let zoned = local_time(time).map(|time| time.to_zoned_datetime(TimeZone::system()));
    zoned.map_or_else(|| unknown.to_owned(), |time| time.strftime(format).to_string())
}

/// How long ago a time was, in its largest unit: `42s`, `5m`, `3h`, `12d`.
pub(crate) fn age(time: Option<&prost_types::Timestamp>) -> String {
    let Some(time) = local_time(time) else { return "-".to_owned() };
    let seconds = Timestamp::now().duration_since(time).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes for people: `12 B`, `3.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| count >> shift > 0) {
        None => format!("{count} B"),
        Some((shift, unit)) => {
            let tenths = (count >> (shift - 10)) * 10 / 1_024;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_an_age_or_a_time() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
        let parsed = |text| moment_before(text, now).map(|time| time.to_string());
        assert_eq!(parsed("5m").as_deref(), Ok("2026-01-31T11:55:00Z"));
        assert_eq!(parsed("1h30m").as_deref(), Ok("2026-01-31T10:30:00Z"));
        assert_eq!(parsed("2026-01-01T00:00:00+01:00").as_deref(), Ok("2025-12-31T23:00:00Z"));
        for wrong in ["", "soon", "5", "-5m", "2026-13-01T00:00:00Z", "99999999999h"] {
            assert!(parsed(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_label_needs_a_key_and_an_equals_sign() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(label("a="), Ok(("a".to_owned(), String::new())));
        assert!(label("=b").is_err() && label("a").is_err());
    }

    #[test]
    fn a_phase_is_known_by_its_short_name_in_any_case_with_a_hyphen_or_an_underscore() {
        for text in ["in-progress", "IN_PROGRESS", "In_Progress"] {
            assert_eq!(PhaseArg::from_str(text, true), Ok(PhaseArg::InProgress), "{text}");
        }
        assert!(PhaseArg::from_str("done", true).is_err());
        for arg in PhaseArg::value_variants() {
            let name = phase_name(Phase::from(*arg));
            assert_eq!(PhaseArg::from_str(name, true), Ok(*arg), "{name}");
        }
    }

    #[test]
    fn a_time_is_the_same_moment_and_its_clock_the_same_hour_in_whatever_zone() {
        let time = Some(&prost_types::Timestamp { seconds: 1_767_000_000, nanos: 999_999_999 });
        let shown = shown_time(time);
        assert_eq!(shown.parse::<Timestamp>().expect("a time").as_second(), 1_767_000_000, "{shown}");
        assert_eq!(shown.get(11..19), Some(shown_clock(time).as_str()), "{shown}");
        let hostile = Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: i32::MIN });
        assert_eq!(
            (shown_time(hostile), shown_time(None), shown_clock(None).len()),
            ("-".into(), "-".into(), 8)
        );
    }

    #[test]
    fn bytes_are_shown_in_their_largest_unit() {
        assert_eq!([0, 1_023, 1_536, 5 << 20].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            let _ = (duration(&text), moment(&text), label(&text), execution_id(&text));
        }
    }
}
