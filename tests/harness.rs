//! The harness: servers, databases, a client, a scripted scheduler, and waiting.
//! `README.md` says what is real in each part.

mod api;
mod clock;
mod cluster;
mod cuttable_proxy;
mod database;
mod events;
mod metrics;
mod operator;
mod program;
mod raw;
mod refusal;
mod request;
mod row_lock;
mod scheduler;
mod schema;
mod server;
mod small_disk;
mod switchable_proxy;
mod terminal;
mod test_env;
mod tools;
mod wait;
pub(crate) mod web;

pub(crate) use self::{
    api::{Api, TableStream},
    clock::set_clock_off,
    cluster::{Cluster, give_to_owner},
    cuttable_proxy::CuttableProxy,
    database::{Engine, TestDatabase},
    events::{EventStream, behind, of_deployments, of_project},
    metrics::METRICS,
    program::{FinishedProgram, closed_port, finish, viridian},
    refusal::{field_paths, prevented, refused},
    request::{
        GROUP, REFERENCE, abort, active, blue_green, by_revision, creation, delete, ids, manual,
        pause, promotion, resume, roll_back, seconds, update,
    },
    row_lock::RowLock,
    scheduler::{RouteBehavior, ScriptedScheduler},
    schema::{canonical, decode, encode, method, methods, path},
    server::Server,
    small_disk::SmallDisk,
    switchable_proxy::SwitchableProxy,
    terminal::Terminal,
    test_env::TestEnv,
    tools::{root, tool},
    wait::{WAIT_TIMEOUT, count, eventually, hold_for, within},
};
