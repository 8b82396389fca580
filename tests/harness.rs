//! What the tests share: servers, databases, a client, a fleet of routes, and
//! ways to wait.

mod api;
mod database;
mod events;
mod fleet;
mod operator;
mod program;
mod refusal;
mod request;
mod server;
mod wait;
mod way;
mod world;

pub(crate) use self::{
    api::{Api, Tables},
    database::{Engine, TestDatabase},
    events::{Events, behind, of_deployments, of_project},
    fleet::{Fate, Fleet},
    program::{Finished, closed_port, finish, viridian},
    refusal::{field_paths, prevented, refused},
    request::{
        GROUP, REFERENCE, abort, active, blue_green, by_revision, creation, delete, ids, manual,
        pause, promotion, resume, roll_back, seconds, update,
    },
    server::Server,
    wait::{PATIENCE, eventually, hold_for, within},
    way::Way,
    world::World,
};
