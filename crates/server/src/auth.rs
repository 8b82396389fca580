//! Who calls, and what they may do.
//!
//! - `credentials`: the file of credentials.
//! - `token`, `san`: what a caller shows, a bearer token or a client certificate.
//! - `quotas`: the quotas of projects in that file.
//! - `new_token`: makes tokens.
//! - `caller`: a caller that was let in, with its projects.
//!
//! Which role a method needs is in [`crate::rpc_method`].

mod caller;
mod credentials;
mod new_token;
mod quotas;
mod role;
mod san;
mod token;

pub(crate) use self::{
    caller::{Caller, Principal},
    credentials::{Credential, Credentials},
    san::{SubjectAltName, names},
    token::TokenDigest,
};
pub use self::{
    new_token::{NewToken, NewTokenError, new_token},
    role::Role,
};
