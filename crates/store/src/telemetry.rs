//! Metrics, a span for each unit of work, and a log line for each move.

mod names;
mod projects;
mod transition_log;
mod unit;

pub use self::{
    names::HISTOGRAMS,
    projects::{describe, label_projects, labels_projects, project_labels},
};
pub(crate) use self::{
    names::{CLOCK_CORRECTION, CLOCK_JUMPS, RECONCILE_LATENESS, count_not_promoted},
    transition_log::TransitionLog,
    unit::InUnit,
};
