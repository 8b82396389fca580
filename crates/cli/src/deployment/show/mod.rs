//! What verbs show, made to be read. Pure: what is shown goes in, text comes out.

mod age;
mod deployment;
#[cfg(test)]
pub(crate) mod fixture;
mod history;
mod look;
mod next;
mod policy;
mod revisions;
mod routes;
mod top;

pub(crate) use self::{
    age::{countdown, since},
    deployment::{blockers, change, many, one, qualified_name},
    history::{history, what},
    look::Look,
    revisions::{Revisions, revisions},
    routes::{Colour, routes, traffic},
    top::{Motion, moving, top},
};
