//! Viridian behind gRPC.
//!
//! - [`Server`] runs everything on one database.
//! - `layers`: what every call passes before them, a file each.
//! - `services`: the three services; parse, let the store work, convert.
//! - `convert`: between wire and domain, one file an aggregate.
//! - `coordinator`: what moves deployments forward without a call.
//! - `pruner`: what forgets the old.
//! - `metrics`: what is measured, and where it can be read.

mod config;
mod connections;
mod convert;
mod coordinator;
mod error;
mod layers;
mod metrics;
mod paging;
mod pruner;
mod rpc_limits;
mod selector;
mod server;
mod services;
mod state;

pub use self::{
    config::{Config, StartError, StartErrorKind},
    layers::GrpcWeb,
    rpc_limits::{RpcLimitError, RpcLimits},
    server::Server,
};
pub use viridian_store::{
    Check, CheckError, Copied, CopyError, Limits, OpenError, Retention, StoreError, Violation,
    check, copy,
};
