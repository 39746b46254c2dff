//! Page tokens of a list: the last number of the page before, and a digest of what is listed, so that a
//! token is not used with another list. Opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tapeline_storage::{ExecutionId, ListQuery};
use tonic::Status;

use super::status::invalid_field;

const VERSION: u8 = 1;
/// Begins what stands for a list of watchers; no phase has this number.
const WATCHERS: u8 = 0xff;

/// What is listed: a checksum, which guards against mistakes, not against malice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope(u32);

/// A token that is none, or belongs to another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidToken {
    /// It was not made here.
    Malformed,
    /// It was made with other filters.
    OtherFilter,
}

impl Scope {
    /// Executions, with these filters.
    pub(super) fn of_executions(query: &ListQuery) -> Self {
        let mut bytes = vec![query.phase.map_or(0, |phase| phase as u8)];
        let mut text = |text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        text(query.session_id.as_deref().unwrap_or_default());
        for (key, value) in &query.labels {
            text(key);
            text(value);
        }
        Self(crc32c::crc32c(&bytes))
    }

    /// The watchers of one execution, or of all.
    pub(super) fn of_watchers(execution: Option<&ExecutionId>) -> Self {
        let mut bytes = vec![WATCHERS];
        bytes.extend_from_slice(execution.map_or("", |id| id.as_str()).as_bytes());
        Self(crc32c::crc32c(&bytes))
    }

    /// The token for the page that begins behind this number.
    pub(super) fn encode(self, number: u64) -> String {
        let mut token = vec![VERSION];
        token.extend_from_slice(&number.to_le_bytes());
        token.extend_from_slice(&self.0.to_le_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The number that a token says; `None` for the first page.
    pub(super) fn decode(self, token: &str) -> Result<Option<u64>, InvalidToken> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidToken::Malformed)?;
        let Ok([version, number @ .., d0, d1, d2, d3]) = <[u8; 13]>::try_from(bytes) else {
            return Err(InvalidToken::Malformed);
        };
        if version != VERSION {
            return Err(InvalidToken::Malformed);
        }
        if u32::from_le_bytes([d0, d1, d2, d3]) != self.0 {
            return Err(InvalidToken::OtherFilter);
        }
        Ok(Some(u64::from_le_bytes(number)))
    }
}

impl From<InvalidToken> for Status {
    fn from(error: InvalidToken) -> Self {
        let description = match error {
            InvalidToken::Malformed => "it is not a page token",
            InvalidToken::OtherFilter => "it was made with other filters",
        };
        invalid_field("page_token", description)
    }
}

/// How many entries a page has, as a request says it.
pub(super) fn page_size(said: i32, default: usize, max: usize) -> Result<usize, Status> {
    match usize::try_from(said) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(invalid_field("page_size", "it is negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(session: &str) -> Scope {
        Scope::of_executions(&ListQuery { session_id: Some(session.to_owned()), ..ListQuery::default() })
    }

    #[test]
    fn a_token_says_its_number_to_the_filter_it_was_made_with_only() {
        let token = scope("a").encode(42);
        assert_eq!(scope("a").decode(&token), Ok(Some(42)));
        assert_eq!(scope("b").decode(&token), Err(InvalidToken::OtherFilter));
        assert_eq!(scope("a").decode(""), Ok(None));
        let one = ExecutionId::parse("one").expect("an id");
        let scopes = [Scope::of_watchers(None), Scope::of_watchers(Some(&one)), scope(""), scope("one")];
        for (index, scope) in scopes.iter().enumerate() {
            assert_eq!(scopes.iter().position(|other| other == scope), Some(index), "all of them differ");
        }
    }

    #[test]
    fn what_is_no_token_is_told() {
        for bad in ["x", "????", &URL_SAFE_NO_PAD.encode([0; 13]), &URL_SAFE_NO_PAD.encode([1; 12])] {
            assert_eq!(scope("a").decode(bad), Err(InvalidToken::Malformed));
        }
    }
}
