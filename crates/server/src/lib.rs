//! Viridian behind gRPC.
//!
//! - [`Server`] runs everything on one database.
//! - `services`: the three services; parse, let the store work, convert.
//! - `convert`: between wire and domain, one file an aggregate.
//! - `coordinator`: what moves deployments forward without a call.
//! - `pruner`: what forgets the old.

mod config;
mod convert;
mod coordinator;
mod error;
mod paging;
mod pruner;
mod selector;
mod server;
mod services;
mod state;

pub use self::{
    config::{Config, StartError, StartErrorKind},
    server::Server,
};
pub use viridian_store::{
    Check, CheckError, Copied, CopyError, Limits, OpenError, Retention, StoreError, Violation,
    check, copy,
};
