//! Pages: a token says where the next one begins, and for which question.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::convert::Violations;

/// A page that a caller asks for, of rows that are ordered by their `K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page<K> {
    /// How many it has at most.
    pub(crate) size: u32,
    /// What it comes behind.
    pub(crate) after: Option<K>,
    question: u64,
}

/// What a token says. Rows are ordered by ids or numbers, which only grow, so
/// that a page stays where it is when others are inserted.
#[derive(Serialize, Deserialize)]
struct Token<K> {
    after: K,
    question: u64,
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// Parses a page. `question` is all that must not change from page to page.
    pub(crate) fn parse(
        size: i32,
        token: &str,
        question: &[&str],
        violations: &mut Violations,
    ) -> Self {
        let size = match size {
            0 => DEFAULT_SIZE,
            size => violations.within("page_size", size, 1, MAX_SIZE),
        };
        let question = digest(question);
        let after = (!token.is_empty())
            .then(|| decode(token))
            .and_then(|decoded| match decoded {
                Some(Token {
                    after,
                    question: of,
                }) if of == question => Some(after),
                Some(_) => {
                    violations.add("page_token", "is of a list with other filters");
                    None
                }
                None => {
                    violations.add("page_token", "is not one that this server gave");
                    None
                }
            });
        Self {
            size,
            after,
            question,
        }
    }

    /// The token of the page behind `last`; empty when this page was not full.
    pub(crate) fn next(&self, found: usize, last: Option<K>) -> String {
        match last {
            Some(after) if found >= self.size as usize => {
                let token = Token {
                    after,
                    question: self.question,
                };
                serde_json::to_vec(&token)
                    .map_or_else(|_| String::new(), |t| URL_SAFE_NO_PAD.encode(t))
            }
            _ => String::new(),
        }
    }
}

fn decode<K: DeserializeOwned>(token: &str) -> Option<Token<K>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// What a question comes to, so that a token can be told to be of another.
pub(crate) fn digest(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 500;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_question() {
        let mut violations = Violations::default();
        let first = Page::parse(1, "", &["a"], &mut violations);
        let last = Uuid::from_u128(7);
        let token = first.next(1, Some(last));
        let second = Page::parse(1, &token, &["a"], &mut violations);
        assert_eq!(second.after, Some(last));
        violations.finish().expect("both are well-formed");
    }

    #[test]
    fn a_token_of_another_question_is_refused() {
        let mut violations = Violations::default();
        let first = Page::parse(1, "", &["a"], &mut violations);
        let token = first.next(1, Some(Uuid::from_u128(7)));
        Page::<Uuid>::parse(1, &token, &["b"], &mut violations);
        violations.finish().expect_err("the filters changed");
    }

    #[test]
    fn a_token_of_rows_in_another_order_is_refused() {
        let mut violations = Violations::default();
        let first = Page::parse(1, "", &["a"], &mut violations);
        let token = first.next(1, Some(Uuid::from_u128(7)));
        Page::<i64>::parse(1, &token, &["a"], &mut violations);
        violations.finish().expect_err("an id is no number");
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let page = Page::parse(2, "", &[], &mut Violations::default());
        assert_eq!(page.next(1, Some(Uuid::from_u128(7))), "");
    }
}
