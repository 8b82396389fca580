//! Pages: a token says where the next one begins, and of which query.

use uuid::Uuid;

use crate::{
    convert::Violations,
    token::{Token, digest},
};

/// A page that a caller asks for, of rows that are ordered by their key `K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest<K> {
    /// How many rows it has at most.
    pub(crate) size: u32,
    /// The row that it comes after.
    pub(crate) after: Option<K>,
    query: u64,
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
        violations: &mut Violations,
    ) -> Self {
        let query = digest(query);
        Self {
            size: parse_size(size, violations),
            after: parse_token(token, query, violations),
            query,
        }
    }

    /// The token of the page after `last`; empty when this page was not full.
    pub(crate) fn next_token(&self, found: usize, last: Option<K>) -> String {
        match last {
            // A full page may be the last one. Its token then leads to an empty page.
            Some(last) if found >= self.size as usize => last.to_token(self.query).encode(),
            _ => String::new(),
        }
    }
}

/// The size of a page; the default when it is not set.
pub(crate) fn parse_size(size: i32, violations: &mut Violations) -> u32 {
    match size {
        0 => DEFAULT_SIZE,
        size => violations.within("page_size", size, 1, MAX_SIZE),
    }
}

fn parse_token<K: PageKey>(text: &str, query: u64, violations: &mut Violations) -> Option<K> {
    if text.is_empty() {
        return None;
    }
    let token = Token::decode(text);
    match token.and_then(|token| Some((K::of_token(&token)?, token.query))) {
        Some((after, of)) if of == query => Some(after),
        Some(_) => {
            violations.add("page_token", "belongs to a list with other filters");
            None
        }
        None => {
            violations.add("page_token", "is not one that this server gave");
            None
        }
    }
}

impl PageKey for Uuid {
    fn to_token(self, query: u64) -> Token {
        Token::new(0, Some(self), query)
    }

    fn of_token(token: &Token) -> Option<Self> {
        token.after()?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_query() {
        let mut violations = Violations::default();
        let first = PageRequest::parse(1, "", &["a"], &mut violations);
        let last = Uuid::from_u128(7);
        let token = first.next_token(1, Some(last));
        let second = PageRequest::parse(1, &token, &["a"], &mut violations);
        assert_eq!(second.after, Some(last));
        violations.finish().expect("both are well-formed");
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let mut violations = Violations::default();
        let first = PageRequest::parse(1, "", &["a"], &mut violations);
        let token = first.next_token(1, Some(Uuid::from_u128(7)));
        PageRequest::<Uuid>::parse(1, &token, &["b"], &mut violations);
        violations.finish().expect_err("the filters changed");
    }

    #[test]
    fn a_token_of_rows_in_another_order_is_refused() {
        let of_ids = PageRequest::parse(1, "", &["a"], &mut Violations::default());
        let token = of_ids.next_token(1, Some(Uuid::from_u128(7)));
        let mut violations = Violations::default();
        PageRequest::<i64>::parse(1, &token, &["a"], &mut violations);
        violations.finish().expect_err("an id is no number");

        let of_numbers = PageRequest::parse(1, "", &["a"], &mut Violations::default());
        let token = of_numbers.next_token(1, Some(7_i64));
        let mut violations = Violations::default();
        PageRequest::<Uuid>::parse(1, &token, &["a"], &mut violations);
        violations.finish().expect_err("a number is no id");
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let page = PageRequest::parse(2, "", &[], &mut Violations::default());
        assert_eq!(page.next_token(1, Some(Uuid::from_u128(7))), "");
    }
}
