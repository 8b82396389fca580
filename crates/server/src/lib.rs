//! Viridian behind gRPC.
//!
//! - [`Server`] runs everything on one database.
//! - `services`: the three services; parse, let the store work, convert.
//! - `auth`: who calls, and what they may do. `scope`: what of the record is theirs.
//! - `incoming`: connections, with `tls` or without. `layers`: what a request passes
//!   on its way to a service.
//! - `convert`: between wire and domain, one file an aggregate.
//! - `coordinator`: what moves deployments forward without a call.
//! - `pruner`: what forgets the old.

mod auth;
mod config;
mod convert;
mod coordinator;
mod error;
mod incoming;
mod layers;
mod paging;
mod pruner;
mod reload;
mod scope;
mod security;
mod selector;
mod server;
mod services;
mod state;
mod tls;

pub use self::{
    auth::{NewToken, NewTokenError, Role, new_token},
    config::{Config, StartError, StartErrorKind},
    server::Server,
    tls::TlsFiles,
};
pub use viridian_store::{Check, CheckError, Retention, StoreError, Violation, check};
