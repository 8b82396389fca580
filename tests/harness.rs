//! The harness: servers, databases, a client, a scripted scheduler, and waiting.
//! `README.md` says what is real in each part.

mod api;
mod caller_load;
mod clock;
mod cluster;
mod cuttable_proxy;
mod database;
mod event_follower;
mod events;
mod metrics;
mod network;
mod operator;
mod program;
mod random_agent;
mod raw;
mod real_agent;
mod refusal;
mod request;
mod row_lock;
mod scheduler;
mod schema;
mod server;
mod server_urls;
mod small_disk;
mod switchable_proxy;
mod terminal;
mod test_env;
mod tools;
mod wait;
pub(crate) mod web;

pub(crate) use self::{
    api::{Api, TableStream},
    caller_load::{CallerLoad, is_passing},
    clock::set_clock_off,
    cluster::{Cluster, give_to_owner},
    cuttable_proxy::CuttableProxy,
    database::{Engine, TestDatabase},
    event_follower::{EventFollower, SharedEvents, lock_events},
    events::{EventStream, behind, of_deployments, of_project},
    metrics::METRICS,
    network::{Host, Loss, TestNetwork},
    program::{FinishedProgram, closed_port, finish, viridian},
    random_agent::{FAILS, FAILS_ONCE, RandomAgent, SharedAgentState, lock_agent},
    real_agent::{agent, agent_command, end_agent, replica},
    refusal::{field_paths, prevented, refused},
    request::{
        GROUP, REFERENCE, abort, active, blue_green, by_revision, creation, delete, ids, manual,
        named, pause, promotion, resume, roll_back, seconds, update,
    },
    row_lock::RowLock,
    scheduler::{RouteBehavior, ScriptedScheduler},
    schema::{canonical, decode, encode, label, method, methods, path},
    server::Server,
    server_urls::ServerUrls,
    small_disk::SmallDisk,
    switchable_proxy::SwitchableProxy,
    terminal::Terminal,
    test_env::TestEnv,
    tools::{root, tool},
    wait::{WAIT_TIMEOUT, count, eventually, hold_for, within},
};
