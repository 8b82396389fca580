//! What stands between a connection and the services.

mod auth;
mod revoked;

pub(crate) use self::auth::{Auth, Guard};
