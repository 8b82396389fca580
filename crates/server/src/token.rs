//! The codec of page tokens and resume tokens.
//!
//! A token is opaque to callers: a protobuf message in base64. It says all that a
//! server needs, so that every server of the database can take it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What a token says. A page token belongs to one ordered list, a resume token to a watch.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Token {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The number in the list, or the position in the log, after which it goes on.
    #[prost(int64, tag = "2")]
    pub(crate) position: i64,
    /// The [`digest`] of the query, which must not change from token to token.
    #[prost(fixed64, tag = "3")]
    pub(crate) query: u64,
    /// The project that is watched.
    #[prost(string, tag = "4")]
    pub(crate) project: String,
    /// The deployments that are watched, 16 bytes each.
    #[prost(bytes = "vec", tag = "5")]
    deployments: Vec<u8>,
    /// The id after which a list or the snapshots go on, 16 bytes, or nothing.
    #[prost(bytes = "vec", tag = "6")]
    after: Vec<u8>,
}

/// A page token of an earlier server.
#[derive(Deserialize)]
struct JsonPageToken {
    after: JsonKey,
    question: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonKey {
    Number(i64),
    Id(Uuid),
}

impl Token {
    /// Makes a token without a watch's target.
    pub(crate) fn new(position: i64, after: Option<Uuid>, query: u64) -> Self {
        Self {
            version: VERSION,
            position,
            query,
            after: after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
            ..Self::default()
        }
    }

    /// Reads a token; none when no server made it.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        // No token in protobuf begins with a brace: the first byte is a tag.
        if bytes.first() == Some(&b'{') {
            let token: JsonPageToken = serde_json::from_slice(&bytes).ok()?;
            return Some(match token.after {
                JsonKey::Number(number) => Self::new(number, None, token.question),
                JsonKey::Id(id) => Self::new(0, Some(id), token.question),
            });
        }
        let token = <Self as Message>::decode(bytes.as_slice()).ok()?;
        // Protobuf decodes many texts that are no token: the version is what tells them apart.
        (token.version == VERSION && token.position >= 0).then_some(token)
    }

    /// Writes it as text.
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.encode_to_vec())
    }

    /// The deployments that are watched; none at all when they cannot be read.
    pub(crate) fn deployments(&self) -> Option<Vec<Uuid>> {
        uuids(&self.deployments)
    }

    pub(crate) fn set_deployments(&mut self, ids: impl Iterator<Item = Uuid>) {
        self.deployments = ids.flat_map(Uuid::into_bytes).collect();
    }

    /// The id after which it goes on, if there is one; none at all when it cannot be
    /// read.
    pub(crate) fn after(&self) -> Option<Option<Uuid>> {
        match uuids(&self.after)?.as_slice() {
            [] => Some(None),
            [id] => Some(Some(*id)),
            _ => None,
        }
    }
}

/// A query as a number, so that a token of another query can be recognised.
pub(crate) fn digest(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        // With its length: two parts must not look like one.
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .iter()
        // 64 bits are enough against mistakes. They are no protection: what
        // a caller may see is checked for each call.
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn uuids(bytes: &[u8]) -> Option<Vec<Uuid>> {
    let (whole, rest) = bytes.as_chunks::<16>();
    rest.is_empty()
        .then(|| whole.iter().copied().map(Uuid::from_bytes).collect())
}

/// A token of another version comes from another release.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        let mut token = Token::new(1_234_567, Some(Uuid::from_u128(7)), 99);
        token.project = "p".to_owned();
        token.set_deployments([1, 2].map(Uuid::from_u128).into_iter());
        let read = Token::decode(&token.encode()).expect("a token");
        assert_eq!(read, token);
        assert_eq!(read.after(), Some(Some(Uuid::from_u128(7))));
        assert_eq!(read.deployments().map(|ids| ids.len()), Some(2));
    }

    #[test]
    fn anything_else_is_none() {
        let good = Token::new(1, None, 2).encode();
        let cut = &good[..good.len() - 3];
        let before = Token::new(-1, None, 2).encode();
        let later = Token {
            version: VERSION + 1,
            ..Token::new(1, None, 2)
        };
        let json = URL_SAFE_NO_PAD.encode("{\"after\":[]}");
        for text in ["", "x", "not a token", cut, &before, &later.encode(), &json] {
            assert_eq!(Token::decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn ids_that_are_not_whole_are_not_read() {
        let token = Token {
            after: vec![0; 17],
            deployments: vec![0; 15],
            ..Token::new(1, None, 2)
        };
        assert_eq!((token.after(), token.deployments()), (None, None));
    }

    /// As servers made them before there was one codec.
    #[test]
    fn tokens_of_earlier_servers_are_read() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let of_ids = format!("{{\"after\":\"{id}\",\"question\":17446744073709551615}}");
        let read = Token::decode(&URL_SAFE_NO_PAD.encode(of_ids)).expect("a token");
        let expected = Token::new(0, id.parse().ok(), 17_446_744_073_709_551_615);
        assert_eq!(read, expected);
        let of_numbers = URL_SAFE_NO_PAD.encode("{\"after\":12,\"question\":5}");
        assert_eq!(Token::decode(&of_numbers), Some(Token::new(12, None, 5)));

        // Of a watch of project "p", at position 42, with snapshots to come.
        let of_watch = "CAEQKhkBAAAAAAAAACIBcDIQAAAAAAAAAAAAAAAAAAAABw";
        let read = Token::decode(of_watch).expect("a token");
        let mut expected = Token::new(42, Some(Uuid::from_u128(7)), 1);
        expected.project = "p".to_owned();
        assert_eq!(read, expected);
    }
}
