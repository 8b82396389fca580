//! Metrics, a span for each unit of work, and a log line for each move.

mod moved;
mod names;
mod unit;

pub use self::names::{HISTOGRAMS, describe};
pub(crate) use self::{
    moved::Moved,
    names::{RECONCILE_LATENESS, count_not_promoted},
    unit::InUnit,
};
