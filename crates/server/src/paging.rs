//! Pages: a token says where the next one begins, and of which query.

use prost::Message;
use uuid::Uuid;
use viridian_store::{AssignmentPosition, GroupRoutePosition};
use viridian_strategy::{DeploymentId, RouteId, Timestamp};

use crate::{
    convert::Violations,
    token::{Token, TokenRefusal, TokenSeal, digest},
};

/// A page that a caller asks for, of rows that are ordered by their key `K`.
#[derive(Clone, Debug)]
pub(crate) struct PageRequest<K> {
    /// How many rows it has at most.
    pub(crate) size: u32,
    /// The row that it comes after.
    pub(crate) after: Option<K>,
    query: u64,
    seal: TokenSeal,
}

/// What rows are ordered by. It never changes and only grows, so that a page stays
/// where it is when other rows are inserted.
pub(crate) trait PageKey: Copy {
    fn to_token(self, query: u64) -> Token;
    fn of_token(token: &Token) -> Option<Self>;
}

impl<K: PageKey> PageRequest<K> {
    /// Parses a page. `query` is all that must not change from page to page.
    pub(crate) fn parse(
        size: i32,
        token: &str,
        query: &[&str],
        seal: &TokenSeal,
        violations: &mut Violations,
    ) -> Self {
        let query = digest(query);
        Self {
            size: parse_size(size, violations),
            after: parse_token(token, query, seal, violations),
            query,
            seal: seal.clone(),
        }
    }

    /// An empty page, to be filled.
    pub(crate) fn builder<M: Message>(self) -> PageBuilder<K, M> {
        PageBuilder {
            last: self.after,
            request: self,
            messages: Vec::new(),
            bytes: 0,
            asked: 0,
            is_cut: false,
            is_exhausted: false,
            looked_up_to: None,
        }
    }
}

/// A page that is being filled. It ends by rows or by bytes, whichever comes first: a client's
/// library refuses a reply of more than 4 MiB.
pub(crate) struct PageBuilder<K, M> {
    request: PageRequest<K>,
    messages: Vec<M>,
    bytes: usize,
    last: Option<K>,
    /// How many rows the last chunk was to have.
    asked: usize,
    /// Whether a row was left out for its bytes.
    is_cut: bool,
    is_exhausted: bool,
    looked_up_to: Option<K>,
}

impl<K: PageKey, M: Message> PageBuilder<K, M> {
    /// After which row the next rows are read, and how many of them; none when the page is
    /// full or there are no more. Chunks are small, since a row may have 64 KiB.
    pub(crate) fn next_chunk(&mut self) -> Option<(Option<K>, u32)> {
        let room = self.request.size as usize - self.messages.len();
        if room == 0 || self.is_cut || self.is_exhausted {
            return None;
        }
        self.asked = room.min(MAX_CHUNK);
        Some((self.last, u32::try_from(self.asked).unwrap_or(MAX_SIZE)))
    }

    /// Adds the rows of a chunk, in order.
    pub(crate) fn extend(&mut self, rows: impl ExactSizeIterator<Item = (K, M)>) {
        self.extend_with(rows.map(|(key, message)| (key, Some(message))));
    }

    /// Adds the rows of a chunk, in order. Those without a message are passed over.
    pub(crate) fn extend_with(&mut self, rows: impl ExactSizeIterator<Item = (K, Option<M>)>) {
        self.is_exhausted = rows.len() < self.asked;
        for (key, message) in rows {
            let Some(message) = message else {
                self.last = Some(key);
                continue;
            };
            let bytes = message.encoded_len();
            // One row at least, or the next page would begin at the same place.
            if !self.messages.is_empty() && self.bytes + bytes > MAX_PAGE_BYTES {
                self.is_cut = true;
                return;
            }
            self.bytes += bytes;
            self.messages.push(message);
            self.last = Some(key);
        }
    }

    /// Has the next page go on after a row, although this page is not full: as many rows as a
    /// call may look at were looked at.
    pub(crate) fn looked_up_to(&mut self, key: Option<K>) {
        self.looked_up_to = key;
    }

    /// The page, and the token of the next one; empty when this page was not full.
    pub(crate) fn finish(self) -> (Vec<M>, String) {
        // A full page may be the last one. Its token then leads to an empty page.
        let is_full = self.is_cut || self.messages.len() >= self.request.size as usize;
        let last = match is_full {
            true => self.last,
            false => self.looked_up_to,
        };
        let token = match last {
            Some(last) => self.request.seal.seal(last.to_token(self.request.query)),
            _ => String::new(),
        };
        (self.messages, token)
    }
}

/// The size of a page; the default when it is not set.
pub(crate) fn parse_size(size: i32, violations: &mut Violations) -> u32 {
    match size {
        0 => DEFAULT_SIZE,
        size => violations.within("page_size", size, 1, MAX_SIZE),
    }
}

fn parse_token<K: PageKey>(
    text: &str,
    query: u64,
    seal: &TokenSeal,
    violations: &mut Violations,
) -> Option<K> {
    if text.is_empty() {
        return None;
    }
    let parsed = seal.open(text).and_then(|opened| {
        let after = K::of_token(&opened.token).ok_or(TokenRefusal::Unknown)?;
        Ok((after, opened.token.query))
    });
    match parsed {
        Ok((after, of)) if of == query => return Some(after),
        Ok(_) => violations.add("page_token", "belongs to a list with other filters"),
        Err(error) => violations.add("page_token", error.message()),
    }
    None
}

impl PageKey for Uuid {
    fn to_token(self, query: u64) -> Token {
        Token::new(0, Some(self), query)
    }

    fn of_token(token: &Token) -> Option<Self> {
        token.after()?
    }
}

impl PageKey for AssignmentPosition {
    fn to_token(self, query: u64) -> Token {
        Token::new(self.available_at.as_micros(), Some(self.route.0), query)
    }

    fn of_token(token: &Token) -> Option<Self> {
        Some(Self {
            available_at: Timestamp::from_micros(token.position),
            route: RouteId(token.after()??),
        })
    }
}

impl PageKey for GroupRoutePosition {
    fn to_token(self, query: u64) -> Token {
        Token::new(0, Some(self.route.0), query).of_deployment(self.deployment.0)
    }

    fn of_token(token: &Token) -> Option<Self> {
        let [deployment] = token.deployments()?.try_into().ok()?;
        Some(Self {
            deployment: DeploymentId(deployment),
            route: RouteId(token.after()??),
        })
    }
}

impl PageKey for i64 {
    fn to_token(self, query: u64) -> Token {
        Token::new(self, None, query)
    }

    fn of_token(token: &Token) -> Option<Self> {
        // A token with an id belongs to a list in another order.
        token.after()?.is_none().then_some(token.position)
    }
}

const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 500;
const MAX_CHUNK: usize = 50;

/// Below the 4 MiB that gRPC libraries take by default, with room for the rest of a reply.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> TokenSeal {
        TokenSeal::of_test(0)
    }

    /// The token of a page of one row.
    fn token_after<K: PageKey>(page: PageRequest<K>, last: K) -> String {
        let mut page = page.builder();
        page.extend([(last, String::new())].into_iter());
        page.finish().1
    }

    #[test]
    fn d2_a_page_ends_by_rows_or_by_bytes_and_the_next_one_goes_on_there() {
        let mut violations = Violations::default();
        // 400 rows of 64 KiB but for one, of 4 MiB: it has a page of its own.
        let size = |number: i64| if number == 150 { 4 << 20 } else { 64 << 10 };
        let (mut token, mut seen, mut pages) = (String::new(), 0, 0);
        loop {
            let page = PageRequest::<i64>::parse(500, &token, &["a"], &seal(), &mut violations);
            let mut page = page.builder();
            let mut read = 0;
            while let Some((after, limit)) = page.next_chunk() {
                let next = after.unwrap_or(0) + 1;
                let rows = (next..=400).take(limit as usize);
                let rows: Vec<_> = rows
                    .map(|number| (number, "x".repeat(size(number))))
                    .collect();
                read += rows.len();
                page.extend(rows.into_iter());
            }
            let (rows, next) = page.finish();
            let bytes: usize = rows.iter().map(String::len).sum();
            assert!(rows.len() == 1 || bytes <= MAX_PAGE_BYTES, "{bytes}");
            assert!(
                read <= 100,
                "a page must not read what it leaves out: {read}"
            );
            (seen, pages) = (seen + rows.len(), pages + 1);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        violations.finish().expect("all tokens are well-formed");
        assert_eq!(seen, 400);
        assert!((9..=11).contains(&pages), "{pages}");
    }

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_query() {
        let mut violations = Violations::default();
        let first = PageRequest::parse(1, "", &["a"], &seal(), &mut violations);
        let last = Uuid::from_u128(7);
        let token = token_after(first, last);
        let second = PageRequest::parse(1, &token, &["a"], &seal(), &mut violations);
        assert_eq!(second.after, Some(last));
        violations.finish().expect("both are well-formed");
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let mut violations = Violations::default();
        let first = PageRequest::parse(1, "", &["a"], &seal(), &mut violations);
        let token = token_after(first, Uuid::from_u128(7));
        PageRequest::<Uuid>::parse(1, &token, &["b"], &seal(), &mut violations);
        violations.finish().expect_err("the filters changed");
    }

    #[test]
    fn a_token_of_rows_in_another_order_is_refused() {
        let of_ids = PageRequest::parse(1, "", &["a"], &seal(), &mut Violations::default());
        let token = token_after(of_ids, Uuid::from_u128(7));
        let mut violations = Violations::default();
        PageRequest::<i64>::parse(1, &token, &["a"], &seal(), &mut violations);
        violations.finish().expect_err("an id is no number");

        let of_numbers = PageRequest::parse(1, "", &["a"], &seal(), &mut Violations::default());
        let token = token_after(of_numbers, 7_i64);
        let mut violations = Violations::default();
        PageRequest::<Uuid>::parse(1, &token, &["a"], &seal(), &mut violations);
        violations.finish().expect_err("a number is no id");
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let page = PageRequest::parse(2, "", &[], &seal(), &mut Violations::default());
        assert_eq!(token_after(page, Uuid::from_u128(7)), "");
    }
}
