//! Who calls, and what they may do.
//!
//! - `credentials`: the file that says who there is.
//! - `token`, `san`: what a caller shows: a bearer token, or a client certificate.
//! - `roles`: which role may call which method. A method without a row there is
//!   called by nobody.
//! - `caller`: one who was let in, with the projects that are theirs.

mod caller;
mod credentials;
mod role;
mod roles;
mod san;
mod token;

pub(crate) use self::{
    caller::{Caller, Principal},
    credentials::{Credentials, Proof},
    roles::{Access, Method, find_method},
    san::{San, names},
    token::TokenDigest,
};
pub use self::{
    role::Role,
    token::{NewToken, NewTokenError, new_token},
};
