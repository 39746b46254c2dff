//! `list`: pages of executions, newest first. A page begins behind the execution that its token names, so
//! pages are stable while others are created: what matched throughout is in exactly one of them.

use tapeline_storage::{ExecutionId, Head, ListQuery, ReadError};

use super::loaded::Loaded;
use super::state::{Interest, StateError};
use super::{CallError, Controller, Fitted, fit};
use crate::execution::invalid::{Excess, Invalid};
use crate::execution::phase;
use crate::limits::{
    CONTRACT_LIST_PAGE_MAX, LIST_COUNTED_MAX, LIST_EXAMINED_MAX, LIST_PAGE_DEFAULT, LIST_PAGE_MAX,
    LIST_TAGS_MAX,
};
use crate::proto::stigmer::agentexecution::{AgentExecution, ListAgentExecutionsRequest};

/// Begins a token that is two numbers and not an id, and stands between them: no id has it.
const NUMBER: char = '!';

/// One page.
#[derive(Clone, Debug)]
pub struct ExecutionPage {
    /// Newest first.
    pub entries: Fitted<Vec<AgentExecution>>,
    /// Pages of this size that there are; with a filter counted up to a limit, by tags as far as was looked.
    pub total_pages: i32,
    /// The token of the next page. The id of the last entry is one too.
    pub next_page_token: Option<String>,
}

/// What is listed.
pub(super) struct Listing {
    pub(super) query: ListQuery,
    pub(super) tags: Vec<String>,
    pub(super) page_size: usize,
}

/// Where a page begins.
#[derive(Default)]
struct Token {
    /// Behind which execution; `None` for the first page.
    before_number: Option<u64>,
    /// What the first page counted, so that the next ones need not. An id does not say it.
    total: Option<usize>,
}

impl Token {
    fn parse(numbers: &str) -> Option<Self> {
        let (number, total) = numbers.split_once(NUMBER)?;
        Some(Self { before_number: Some(number.parse().ok()?), total: Some(total.parse().ok()?) })
    }
}

impl Controller {
    /// One page of all executions, filtered by phase and tags; secrets are left out.
    pub async fn list(&self, request: ListAgentExecutionsRequest) -> Result<ExecutionPage, CallError> {
        let ListAgentExecutionsRequest { page_size, page_token, phase, tags } = request;
        let phase = phase::named("phase", phase)?;
        if let Some(excess) = Excess::over(LIST_TAGS_MAX, tags.len()) {
            return Err(Invalid::beyond("tags", "too many", excess).into());
        }
        let query = ListQuery { phase, ..ListQuery::default() };
        self.page(Listing { query, tags, page_size: parse_size(page_size)? }, &page_token).await
    }

    /// The page behind a token.
    pub(super) async fn page(
        &self,
        mut listing: Listing,
        page_token: &str,
    ) -> Result<ExecutionPage, CallError> {
        let token = self.parse_token(page_token).await?;
        let total = match token.total {
            Some(total) => total,
            None => self.count(&listing).await?,
        };
        listing.query.before_number = token.before_number;
        let (mut entries, mut truncated, mut examined) = (Vec::new(), false, 0);
        while entries.len() < listing.page_size && examined < LIST_EXAMINED_MAX {
            // Without tags everything that is listed is taken.
            listing.query.heads_max = listing.page_size - entries.len();
            let page = self.store.list(listing.query.clone()).await?;
            examined += page.heads.len().max(1);
            for head in &page.heads {
                if let Some(loaded) = self.entry(head).await?.filter(|one| one.has_tags(&listing.tags)) {
                    let entry = loaded.reply();
                    truncated |= entry.truncated;
                    entries.push(entry.reply);
                }
            }
            listing.query.before_number = page.next_before;
            if page.next_before.is_none() {
                break;
            }
        }
        // A page has at least one place, so at least one page of the store was looked at.
        let next = listing.query.before_number;
        let pages = match listing.tags.is_empty() {
            true => total.div_ceil(listing.page_size),
            false => 1 + usize::from(next.is_some()),
        };
        let mut entries = fit::many(entries);
        entries.truncated |= truncated;
        Ok(ExecutionPage {
            entries,
            total_pages: i32::try_from(pages).unwrap_or(i32::MAX),
            next_page_token: next.map(|number| format!("{NUMBER}{number}{NUMBER}{total}")),
        })
    }

    /// Executions that match but for tags, as far as they are counted; the store knows how many it has.
    async fn count(&self, listing: &Listing) -> Result<usize, ReadError> {
        if listing.query.phase.is_none() && listing.query.session_id.is_none() {
            return Ok(usize::try_from(self.store.stats().executions).unwrap_or(usize::MAX));
        }
        let (mut query, mut count) = (listing.query.clone(), 0);
        query.heads_max = LIST_PAGE_MAX;
        while listing.tags.is_empty() && count < LIST_COUNTED_MAX {
            let page = self.store.list(query.clone()).await?;
            count += page.heads.len();
            match page.next_before {
                Some(number) => query.before_number = Some(number),
                None => break,
            }
        }
        Ok(count)
    }

    /// An execution as an entry; `None` if it was deleted meanwhile. Many are looked at once: none of those
    /// that run is driven out of memory for that.
    async fn entry(&self, head: &Head) -> Result<Option<Loaded>, CallError> {
        match self.load(&head.execution.id, Interest::Passing).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(CallError::State(StateError::Read(ReadError::NotFound { .. }))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn parse_token(&self, token: &str) -> Result<Token, CallError> {
        let malformed = || Invalid::field("page_token", "is not one that this daemon gave");
        if token.is_empty() {
            return Ok(Token::default());
        }
        if let Some(numbers) = token.strip_prefix(NUMBER) {
            return Ok(Token::parse(numbers).ok_or_else(malformed)?);
        }
        let id = ExecutionId::parse(token).map_err(|_| malformed())?;
        match self.store.head(&id).await {
            Ok(head) => Ok(Token { before_number: Some(head.number), total: None }),
            Err(ReadError::NotFound { .. }) => {
                Err(Invalid::field("page_token", "names an execution that does not exist").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How many entries a page has.
pub(super) fn parse_size(page_size: i32) -> Result<usize, Invalid> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(LIST_PAGE_DEFAULT),
        Ok(size) => Ok(size.min(CONTRACT_LIST_PAGE_MAX)),
        Err(_) => Err(Invalid::field("page_size", "must not be negative")),
    }
}
