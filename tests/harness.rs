//! What the tests share: servers, databases, a client, a fleet of routes, and
//! ways to wait.

mod api;
mod clock;
mod cluster;
mod database;
mod events;
mod fleet;
mod hold;
mod metrics;
mod operator;
mod program;
mod proxy;
mod raw;
mod refusal;
mod request;
mod schema;
mod server;
mod terminal;
mod tools;
mod wait;
mod way;
pub(crate) mod web;
mod world;

pub(crate) use self::{
    api::{Api, Tables},
    clock::set_clock_off,
    cluster::Cluster,
    database::{Engine, TestDatabase},
    events::{Events, behind, of_deployments, of_project},
    fleet::{Fate, Fleet},
    hold::Hold,
    metrics::METRICS,
    program::{Finished, closed_port, finish, viridian},
    proxy::Proxy,
    refusal::{field_paths, prevented, refused},
    request::{
        GROUP, REFERENCE, abort, active, blue_green, by_revision, creation, delete, ids, manual,
        pause, promotion, resume, roll_back, seconds, update,
    },
    schema::{canonical, decode, encode, method, methods, path},
    server::Server,
    terminal::Terminal,
    tools::{root, tool},
    wait::{PATIENCE, count, eventually, hold_for, within},
    way::Way,
    world::World,
};
