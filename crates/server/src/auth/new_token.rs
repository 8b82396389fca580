//! Makes tokens, and the entries that let them in.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    credentials::{CredentialEntry, Credentials, CredentialsError},
    role::Role,
    token::TokenDigest,
};

/// A token that was just made.
pub struct NewToken {
    /// The token, for its owner only.
    pub token: String,
    /// The entry to add to the file of credentials.
    pub entry: String,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum NewTokenError {
    /// Such an entry would not be valid in a file of credentials.
    #[error("{0}")]
    Entry(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Makes a token. The server keeps it nowhere.
///
/// # Errors
///
/// When the name, the roles, the projects or the resource groups are not valid.
pub fn new_token(
    name: &str,
    roles: &[Role],
    projects: &[String],
    resource_groups: &[String],
) -> Result<NewToken, NewTokenError> {
    // 256 random bits cannot be guessed, so that the digest needs neither a salt nor a slow hash.
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(NewTokenError::Random)?;
    let token = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let digest = TokenDigest::of(token.as_bytes());
    let entry = CredentialEntry::of_token(name, digest.hex(), roles, projects, resource_groups);
    let entry = entry.to_string();
    // Parsed as a server does it, so that no entry is printed that a server would refuse.
    Credentials::parse(&entry).map_err(|CredentialsError { why, .. }| NewTokenError::Entry(why))?;
    Ok(NewToken { token, entry })
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewToken(…)")
    }
}

/// The prefix of tokens, by which scanners recognise one that leaks.
const TOKEN_PREFIX: &str = "vrd_";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Credential;

    #[test]
    fn a_new_token_is_let_in_by_its_entry() {
        let new = new_token("ci", &[Role::Promoter], &["shop".to_owned()], &[]).expect("a token");
        assert_eq!(new.token.len(), "vrd_".len() + 43);
        let credentials = Credentials::parse(&new.entry).expect("an entry");
        let credential = Credential::Token(TokenDigest::of(new.token.as_bytes()));
        let principal = credentials.find(&credential).expect("it is the token's");
        assert_eq!(principal.name, "ci");
        assert!(!new.entry.contains(&new.token));
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        let make = || new_token("ci", &[Role::Viewer], &["*".to_owned()], &[]).expect("a token");
        assert_ne!(make().token, make().token);
    }

    #[test]
    fn a_token_is_made_only_for_what_the_file_could_have() {
        for (name, roles, projects, part) in [
            ("", &[Role::Viewer][..], &["shop"][..], "name"),
            ("coordinator", &[Role::Viewer], &["shop"], "coordinator"),
            ("ci", &[], &["shop"], "role"),
            ("ci", &[Role::Viewer], &[], "project"),
            ("ci", &[Role::Viewer], &["No Project"], "project"),
        ] {
            let projects: Vec<_> = projects.iter().map(|&it| it.to_owned()).collect();
            let error = new_token(name, roles, &projects, &[]).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let new = new_token("ci", &[Role::Viewer], &["*".to_owned()], &[]).expect("a token");
        let digest = TokenDigest::of(new.token.as_bytes());
        let credentials = Credentials::parse(&new.entry).expect("an entry");
        let wrong = TokenDigest::try_from(new.token.clone()).expect_err("it is no digest");
        let shown = format!(
            "{new:?} {digest:?} {:?} {credentials:?} {wrong}",
            Credential::Token(digest)
        );
        let numbers = format!("{:?}", digest.0);
        for secret in [&new.token, &digest.hex(), numbers.trim_matches(['[', ']'])] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
