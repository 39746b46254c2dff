//! Page tokens of a list: the last number of the page before, and a digest of the filter, so that a
//! token is not used with another one. Opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tapeline_storage::ListQuery;

const VERSION: u8 = 1;

/// A token that is none, or belongs to another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidToken {
    /// It was not made here.
    Malformed,
    /// It was made with other filters.
    OtherFilter,
}

/// The token for the page below a number.
pub(super) fn encode(query: &ListQuery, before_number: u64) -> String {
    let mut token = vec![VERSION];
    token.extend_from_slice(&before_number.to_le_bytes());
    token.extend_from_slice(&digest(query).to_le_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// The number that a token says; `None` for the first page.
pub(super) fn decode(query: &ListQuery, token: &str) -> Result<Option<u64>, InvalidToken> {
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
    if u32::from_le_bytes([d0, d1, d2, d3]) != digest(query) {
        return Err(InvalidToken::OtherFilter);
    }
    Ok(Some(u64::from_le_bytes(number)))
}

/// A checksum of the filter: it guards against mistakes, not against malice.
fn digest(query: &ListQuery) -> u32 {
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
    crc32c::crc32c(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(session: &str) -> ListQuery {
        ListQuery { session_id: Some(session.to_owned()), ..ListQuery::default() }
    }

    #[test]
    fn a_token_says_its_number_to_the_filter_it_was_made_with_only() {
        let token = encode(&query("a"), 42);
        assert_eq!(decode(&query("a"), &token), Ok(Some(42)));
        assert_eq!(decode(&query("b"), &token), Err(InvalidToken::OtherFilter));
        assert_eq!(decode(&query("a"), ""), Ok(None));
    }

    #[test]
    fn what_is_no_token_is_told() {
        for bad in ["x", "????", &URL_SAFE_NO_PAD.encode([0; 13]), &URL_SAFE_NO_PAD.encode([1; 12])] {
            assert_eq!(decode(&query("a"), bad), Err(InvalidToken::Malformed));
        }
    }
}
