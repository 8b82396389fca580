//! What the store tells of itself: what it measures, a span for each unit of
//! work, and a line in the log for each move.

mod moved;
mod names;
mod transaction;
mod unit;

pub use self::names::{HISTOGRAMS, describe};
pub(crate) use self::{
    moved::Moved,
    names::{RECONCILE_LATENESS, count_not_promoted},
    transaction::{ConnectionUse, TransactionEnd, measure_wait, measured},
    unit::InUnit,
};
