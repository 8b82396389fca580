//! End to end: the real program on a real port, talked to by a real client, on
//! both engines. Nothing is shared between two tests, and whatever a test starts
//! ends with it.

// The templates of rstest_reuse expand to paths at the root of the crate.
#[expect(
    clippy::single_component_path_imports,
    unused_imports,
    reason = "macros use it"
)]
use rstest_reuse;

mod engines;
mod harness;

mod agent;
mod api_document;
mod attacks;
mod automatic;
mod bad_input;
mod behind_nginx;
mod breaking;
mod buf_curl;
mod busy_file;
mod calls;
mod canary;
mod cancelled;
mod check;
mod cli;
mod clients;
mod clock;
mod compression;
mod connection_limit;
mod connections;
mod contract;
mod coordinator;
mod copy;
mod database_file;
mod demo;
mod deploy;
mod descriptor_set;
mod disk_full;
mod doctor;
mod documents;
mod drain;
mod edges;
mod failover;
mod fleet;
mod group_routes;
mod grpc_web;
mod grpcurl;
mod health;
mod held;
mod history;
mod hostile;
mod languages;
mod limits;
mod linearizability;
mod lost_writes;
mod manual;
mod metrics_limits;
mod paging;
mod partitions;
mod pooler;
mod promote;
mod quotas;
mod race;
mod race_health;
mod read_only;
mod records;
mod reports;
mod retained;
mod roll_back;
mod rolling;
mod rpc_limits;
mod security;
mod selectors;
mod serve;
mod shutdown;
mod side_by_side;
mod silence;
mod story;
#[cfg(debug_assertions)]
mod supervision;
mod telemetry;
mod terms;
mod together;
mod truth;
mod unread;
mod update;
mod verbs;
mod watch;
