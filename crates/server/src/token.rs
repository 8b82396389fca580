//! The codec of page tokens and resume tokens.
//!
//! A token is opaque to callers: a protobuf message in base64. It says all that a
//! server needs, so that every server of the database can take it. It names its log and is
//! sealed with the key of the database: a server takes only what a server of that log gave.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use ring::hmac;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use viridian_store::LogIdentity;

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
    /// The name of the log.
    #[prost(bytes = "vec", tag = "7")]
    log: Vec<u8>,
    /// When a watch of routes was at the position, in microseconds.
    #[prost(int64, tag = "8")]
    pub(crate) time: i64,
    /// The digest of the projects whose routes a watch asked for.
    #[prost(fixed64, tag = "9")]
    pub(crate) projects: u64,
}

/// Seals and opens the tokens of a log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TokenSeal(Arc<SealInner>);

struct SealInner {
    key: hmac::Key,
    log: Vec<u8>,
    /// See [`LogIdentity::unsealed_until`].
    unsealed_until: i64,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// No server gave it.
    Unknown,
    /// A server of another log gave it.
    OtherLog,
}

/// A token of an earlier server has no seal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenedToken {
    pub(crate) token: Token,
    pub(crate) is_sealed: bool,
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

    /// The same, of a list that goes on within a deployment.
    pub(crate) fn of_deployment(mut self, id: Uuid) -> Self {
        self.set_deployments([id].into_iter());
        self
    }

    /// The same, of a watch of routes that was there at a time.
    pub(crate) fn of_routes(self, time: i64, projects: u64) -> Self {
        Self {
            time,
            projects,
            ..self
        }
    }

    /// Reads a token without a seal; none when no server made it.
    fn decode_unsealed(bytes: &[u8]) -> Option<Self> {
        // No token in protobuf begins with a brace: the first byte is a tag.
        if bytes.first() == Some(&b'{') {
            let token: JsonPageToken = serde_json::from_slice(bytes).ok()?;
            return Some(match token.after {
                JsonKey::Number(number) => Self::new(number, None, token.question),
                JsonKey::Id(id) => Self::new(0, Some(id), token.question),
            });
        }
        let token = <Self as Message>::decode(bytes).ok()?;
        // Protobuf decodes many texts that are no token: the version is what tells them apart.
        (token.version == VERSION && token.position >= 0).then_some(token)
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

impl TokenSeal {
    pub(crate) fn new(log: &LogIdentity) -> Self {
        Self(Arc::new(SealInner {
            key: hmac::Key::new(hmac::HMAC_SHA256, &log.token_key),
            log: log.name.clone(),
            unsealed_until: log.unsealed_until,
        }))
    }

    /// Writes a token as text.
    pub(crate) fn seal(&self, token: Token) -> String {
        let log = self.0.log.clone();
        let mut bytes = vec![SEALED];
        bytes.extend(Token { log, ..token }.encode_to_vec());
        let tag = hmac::sign(&self.0.key, &bytes);
        bytes.extend(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token.
    pub(crate) fn open(&self, text: &str) -> Result<OpenedToken, TokenRefusal> {
        // Before anything is decoded: a caller can send any text.
        if text.len() > MAX_LENGTH {
            return Err(TokenRefusal::Unknown);
        }
        let decoded = URL_SAFE_NO_PAD.decode(text);
        let bytes = decoded.map_err(|_| TokenRefusal::Unknown)?;
        let (token, is_sealed) = match bytes.first() {
            Some(&SEALED) => (Some(self.unseal(&bytes)?), true),
            // Where no earlier program ran, none has given a token.
            _ if self.0.unsealed_until == 0 => (None, false),
            _ => (Token::decode_unsealed(&bytes), false),
        };
        let token = token.ok_or(TokenRefusal::Unknown)?;
        Ok(OpenedToken { token, is_sealed })
    }

    fn unseal(&self, bytes: &[u8]) -> Result<Token, TokenRefusal> {
        let (sealed, tag) = bytes
            .split_last_chunk::<TAG_LENGTH>()
            .ok_or(TokenRefusal::Unknown)?;
        let token = sealed.get(1..).and_then(Token::decode_unsealed);
        let token = token.ok_or(TokenRefusal::Unknown)?;
        // Another log has another key, or at least another name: that is said, since the caller
        // has made no mistake in the token.
        if token.log != self.0.log {
            return Err(TokenRefusal::OtherLog);
        }
        match hmac::verify(&self.0.key, sealed, tag) {
            Ok(()) => Ok(token),
            Err(_) => Err(TokenRefusal::Unknown),
        }
    }

    /// Up to which position of the log a token may be without a seal.
    pub(crate) fn unsealed_until(&self) -> i64 {
        self.0.unsealed_until
    }
}

#[cfg(any(test, fuzzing))]
impl TokenSeal {
    /// That of a log that earlier programs have written to, up to a position.
    pub(crate) fn of_test(unsealed_until: i64) -> Self {
        Self::new(&LogIdentity {
            name: vec![1; 16],
            token_key: vec![2; 32],
            unsealed_until,
        })
    }
}

impl fmt::Debug for TokenSeal {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSeal").finish_non_exhaustive()
    }
}

impl TokenRefusal {
    /// What to say of a token, as the end of a sentence about its field.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Unknown => "is not one that a server gave",
            Self::OtherLog => "belongs to another database, or to one before it was restored",
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

/// The first byte of a sealed token. No protobuf message begins with it, and no JSON.
const SEALED: u8 = 0;
const TAG_LENGTH: usize = 32;

/// In base64. The longest token, for a watch of 100 deployments, has about 2,300.
const MAX_LENGTH: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: u8) -> LogIdentity {
        LogIdentity {
            name: vec![name; 16],
            token_key: vec![name + 1; 32],
            unsealed_until: 0,
        }
    }

    fn seal() -> TokenSeal {
        TokenSeal::new(&log(1))
    }

    /// Of a database that an earlier program has written to.
    fn upgraded() -> TokenSeal {
        TokenSeal::new(&LogIdentity {
            unsealed_until: 1,
            ..log(1)
        })
    }

    fn unsealed(token: &Token) -> String {
        URL_SAFE_NO_PAD.encode(token.encode_to_vec())
    }

    #[test]
    fn a_token_comes_back_as_it_was() {
        let mut token = Token::new(1_234_567, Some(Uuid::from_u128(7)), 99);
        token.project = "p".repeat(63);
        token.set_deployments((0..100).map(Uuid::from_u128));
        let text = seal().seal(token.clone());
        assert!(text.len() < MAX_LENGTH * 2 / 3, "{}", text.len());
        let read = seal().open(&text).expect("a token");
        assert!(read.is_sealed);
        assert_eq!(read.token.after(), Some(Some(Uuid::from_u128(7))));
        assert_eq!(read.token.deployments().map(|ids| ids.len()), Some(100));
        let log = read.token.log.clone();
        assert_eq!(read.token, Token { log, ..token });
    }

    #[test]
    fn anything_else_is_none() {
        let later = Token {
            version: VERSION + 1,
            ..Token::new(1, None, 2)
        };
        let before = unsealed(&Token::new(-1, None, 2));
        let json = URL_SAFE_NO_PAD.encode("{\"after\":[]}");
        for text in ["", "x", "not a token", &before, &unsealed(&later), &json] {
            assert_eq!(
                upgraded().open(text),
                Err(TokenRefusal::Unknown),
                "{text:?}"
            );
        }
        for token in [Token::new(-1, None, 2), later] {
            let sealed = seal().seal(token);
            assert_eq!(seal().open(&sealed), Err(TokenRefusal::Unknown));
        }
    }

    /// Each bit of a token, and every length of it.
    #[test]
    fn g3_a_token_that_was_changed_is_none() {
        let good = seal().seal(Token::new(1, Some(Uuid::from_u128(7)), 2));
        let bytes = URL_SAFE_NO_PAD.decode(&good).expect("base64");
        for length in 0..bytes.len() {
            let cut = URL_SAFE_NO_PAD.encode(&bytes[..length]);
            seal().open(&cut).expect_err("it is cut");
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[length] ^= 1 << bit;
                let changed = URL_SAFE_NO_PAD.encode(bytes);
                seal().open(&changed).expect_err("it was changed");
            }
        }
        seal().open(&good).expect("it was not changed");
    }

    #[test]
    fn d7_a_token_names_its_log() {
        let token = Token::new(1, None, 2);
        let other = TokenSeal::new(&log(5)).seal(token.clone());
        assert_eq!(seal().open(&other), Err(TokenRefusal::OtherLog));
        // A restored database has a new name, and its old key.
        let restored = LogIdentity {
            name: vec![9; 16],
            ..log(1)
        };
        let earlier = seal().seal(token);
        let restored = TokenSeal::new(&restored);
        assert_eq!(restored.open(&earlier), Err(TokenRefusal::OtherLog));
    }

    #[test]
    fn g3_a_token_is_bounded() {
        let mut token = Token::new(1, None, 2);
        token.set_deployments((0..20_000).map(Uuid::from_u128));
        for text in [unsealed(&token), seal().seal(token)] {
            assert_eq!(upgraded().open(&text), Err(TokenRefusal::Unknown));
            assert_eq!(seal().open(&text), Err(TokenRefusal::Unknown));
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

    /// As servers made them before tokens had a seal, and before there was one codec.
    #[test]
    fn d7_tokens_of_earlier_servers_are_read_where_those_ran() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let of_ids = format!("{{\"after\":\"{id}\",\"question\":17446744073709551615}}");
        let of_ids = URL_SAFE_NO_PAD.encode(of_ids);
        let of_numbers = URL_SAFE_NO_PAD.encode("{\"after\":12,\"question\":5}");
        let of_log = Token::new(1, None, 2);
        for (text, expected) in [
            (
                of_ids,
                Token::new(0, id.parse().ok(), 17_446_744_073_709_551_615),
            ),
            (of_numbers, Token::new(12, None, 5)),
            (unsealed(&of_log), of_log),
        ] {
            let read = upgraded().open(&text).expect("a token");
            assert_eq!((read.token, read.is_sealed), (expected, false));
            assert_eq!(seal().open(&text), Err(TokenRefusal::Unknown));
        }
    }
}
