//! What the tests share: servers, databases, a client, a fleet of routes, and
//! ways to wait.

mod api;
mod database;
mod fleet;
mod program;
mod refusal;
mod request;
mod server;
mod wait;
mod world;

pub(crate) use self::{
    api::{Api, Tables},
    database::{Engine, TestDatabase},
    fleet::{Fate, Fleet},
    program::{Finished, closed_port, finish, viridian},
    refusal::{field_paths, refused},
    request::{
        GROUP, REFERENCE, active, blue_green, by_revision, creation, ids, manual, promotion,
        seconds,
    },
    server::Server,
    wait::{PATIENCE, eventually, hold_for, within},
    world::World,
};
