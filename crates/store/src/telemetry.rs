//! Metrics, a span for each unit of work, and a log line for each move.

mod names;
mod transition_log;
mod unit;

pub use self::names::{HISTOGRAMS, describe};
pub(crate) use self::{
    names::{RECONCILE_LATENESS, count_not_promoted},
    transition_log::TransitionLog,
    unit::InUnit,
};
