//! Viridian behind gRPC.
//!
//! - [`Server`] runs everything on one database. `tasks`: its background tasks, of which
//!   none ends unnoticed. `grpc`: its services and connections.
//! - `services`: the three services; parse, let the store work, convert.
//! - `auth`: who calls, and what they may do. `scope`: what of the record is theirs.
//! - `connections`: no address has too many. `incoming`: with `tls` or without.
//! - `layers`: what every call passes on its way to a service, a file each.
//! - `convert`: between wire and domain, one file an aggregate.
//! - `coordinator`: what moves deployments forward without a call.
//! - `pruner`: what forgets the old. `health_ttl`: what no longer believes it.
//! - `metrics`: what is measured, and where it can be read.

mod auth;
mod config;
mod connections;
mod convert;
mod coordinator;
mod error;
mod grpc;
mod health;
mod health_ttl;
mod incoming;
mod keyed_semaphore;
mod layers;
mod metrics;
mod paging;
mod peer;
mod pruner;
mod refusals;
mod reload;
mod resource_name;
mod resume;
mod rpc_limits;
mod rpc_method;
mod scope;
mod security;
mod selector;
mod server;
mod services;
mod state;
mod tasks;
mod tls;
mod token;

pub use self::{
    auth::{NewToken, NewTokenError, Role, new_token},
    config::{Config, StartError, StartErrorKind},
    coordinator::{CoordinatorLimitError, CoordinatorLimits},
    error::code_name,
    layers::GrpcWeb,
    rpc_limits::{RpcLimitError, RpcLimits},
    security::{CredentialSummary, inspect_credentials},
    server::Server,
    tasks::{BackgroundTask, TaskEnd, TaskFailure},
    tls::{CertificateValidity, TlsFiles},
};
pub use viridian_feeds::WatchLimits;
pub use viridian_store::{
    Check, CheckError, Copied, CopyError, Extent, Inspection, Limits, OpenError, Retention,
    SchemaState, StoreError, Violation, check, copy, inspect,
};
pub use viridian_strategy::Timestamp;
