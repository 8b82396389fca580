//! What verbs show, made to be read. Pure: what is shown goes in, text comes out.

mod age;
mod deployment;
#[cfg(test)]
pub(super) mod fixture;
mod history;
mod look;
mod next;
mod policy;
mod revisions;
mod routes;

pub(crate) use self::{
    deployment::{blockers, change, many, one, qualified_name},
    history::history,
    look::Look,
    revisions::{Revisions, revisions},
    routes::routes,
};
