//! The server of Viridian: its gRPC services and its background tasks.
//!
//! - [`Server`]: everything on one database. `tasks`: its supervised background tasks.
//! - `grpc`: its services. `connections`: accepted connections, limited, with `tls` or
//!   without. `live_connection`: the state of one. `layers`: what a request passes on its way
//!   to a service.
//! - `auth`: callers and their credentials. `rpc_method`: who may call what. `scope`: the
//!   part of the record that a caller may see.
//! - `services`: parse a request, call the store, convert the reply. `convert`: between wire
//!   and domain, one file for each aggregate. `error`, `refusals`: statuses.
//! - `coordinator`: reconciles deployments that are due. `pruner`: deletes rows past
//!   retention. `health_ttl`: ends health that was not reported again in time. `health`: the
//!   health service.
//! - `server_info`: what the program is. `metrics`: the metrics, and their endpoint.
//!   `log_throttle`: bounds on lines that peers cause. `reload`: files that may change.

mod auth;
mod config;
mod connections;
mod convert;
mod coordinator;
mod error;
mod fair_share;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod health;
mod health_ttl;
mod keyed_semaphore;
mod layers;
mod live_connection;
mod log_throttle;
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
mod secrets;
mod security;
mod selector;
mod server;
mod server_info;
mod services;
mod set_refusals;
mod state;
mod tasks;
mod tls;
mod token;

pub use self::{
    auth::{NewToken, NewTokenError, Role, new_token},
    config::{Config, StartError, StartErrorKind},
    coordinator::CoordinatorLimits,
    error::code_name,
    layers::GrpcWeb,
    metrics::LOG_LINES_DROPPED,
    rpc_limits::RpcLimits,
    security::{CredentialSummary, inspect_credentials},
    server::Server,
    server_info::{COMMIT, VERSION},
    tasks::{BackgroundTask, TaskEnd, TaskFailure},
    tls::{CertificateValidity, TlsFiles},
};
pub use viridian_feeds::WatchLimits;
pub use viridian_store::{
    Check, CheckError, Copied, CopyError, Extent, Inspection, LimitError, Limits, OpenError,
    Retention, SchemaState, StoreError, Violation, check, copy, inspect, recount, rename_log,
};
pub use viridian_strategy::{ProjectQuota, Timestamp};
