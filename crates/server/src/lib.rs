//! Viridian behind gRPC.
//!
//! - [`Server`] runs everything on one database.
//! - `services`: the three services; parse, let the store work, convert.
//! - `convert`: between wire and domain, one file an aggregate.
//! - `coordinator`: what moves deployments forward without a call.
//! - `watches`: what streams follow, looked at once for all of them.
//! - `pruner`: what forgets the old.
//! - `refuse`: what the transport refuses, in the words of the contract.

mod config;
mod convert;
mod coordinator;
mod error;
mod paging;
mod pruner;
mod refuse;
mod resume;
mod selector;
mod server;
mod services;
mod state;
mod watches;

pub use self::{
    config::{Config, StartError, StartErrorKind},
    server::Server,
    watches::WatchLimits,
};
pub use viridian_store::{Check, CheckError, Retention, StoreError, Violation, check};
