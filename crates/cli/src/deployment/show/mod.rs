//! The texts of the commands' results. Pure functions: messages go in, text comes out.

mod age;
mod deployment;
#[cfg(test)]
pub(crate) mod fixture;
mod history;
mod in_progress;
mod next_step;
mod output_style;
mod policy;
mod ready;
mod revisions;
mod routes;
mod split;
mod traffic;

pub(crate) use self::{
    age::{countdown, since},
    deployment::{blockers, change, change_with_revisions, many, one},
    history::{history, operation, transition, why},
    in_progress::{in_progress, in_progress_table},
    output_style::OutputStyle,
    revisions::{RevisionNames, revisions},
    routes::{RouteColour, routes, traffic},
    split::{SplitBar, share, step_of_steps, steps},
    traffic::traffic_table,
};
